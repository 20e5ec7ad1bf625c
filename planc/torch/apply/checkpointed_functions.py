"""Functions that `torch.utils.checkpoint` runs again in the backward pass, the plan's regions and those that the model's
own code checkpoints: they find what they found at first.

A method of a module that is checkpointed runs again without the steps of the module: its parameters are DTensors then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from planc.torch.apply.compat import wrap_checkpointed_functions
from planc.torch.apply.param_swap import installed_swaps, run_with_local_params
from planc.torch.apply.rng import StreamsAtFirstRun


@cache
def follow_checkpoints() -> None:
    """From now on, let functions that are checkpointed run again with local parameters and random streams as at first.
    Where no split module runs, nothing changes."""
    wrap_checkpointed_functions(_run_as_at_first)


def _run_as_at_first(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is about to run for the first time, for the second time."""
    swaps, streams = installed_swaps(), StreamsAtFirstRun()
    if not swaps and streams.are_default:
        return function

    def run(*args: Any, **kwargs: Any) -> Any:
        with streams.restored():
            return run_with_local_params(swaps, function, args, kwargs)

    return run
