"""The private names of torch that only `planc/torch/apply` uses, as `planc/torch/compat.py` has those of all of planc."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.utils import checkpoint


def wrap_checkpointed_functions(wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Let `wrap` have each function that `torch.utils.checkpoint` is about to run for the first time. What it returns
    runs in the backward pass. This acts inside of torch, on both variants: code may have imported `checkpoint` by name.
    """
    frame: Any = checkpoint._CheckpointFrame
    reentrant: Any = checkpoint.CheckpointFunction
    make_frame, run_forward = frame.__init__, reentrant.forward

    def init(self: Any, recompute_fn: Any, *args: Any, **kwargs: Any) -> None:
        make_frame(self, wrap(recompute_fn), *args, **kwargs)

    def forward(ctx: Any, run_function: Any, *args: Any) -> Any:
        run_again = wrap(run_function)
        result = run_forward(ctx, run_function, *args)
        ctx.run_function = run_again
        return result

    frame.__init__, reentrant.forward = init, staticmethod(forward)


__all__ = ["wrap_checkpointed_functions"]
