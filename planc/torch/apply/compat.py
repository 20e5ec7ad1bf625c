"""The private names of torch that only `planc/torch/apply` uses, as `planc/torch/compat.py` has those of all of planc."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import checkpoint

unsafe_view: Callable[[Tensor, Sequence[int]], Tensor] = torch.ops.aten._unsafe_view.default
"""The same memory in another shape, and no view to autograd: for a tensor that nobody else has. Code may change what a
function with its own gradient returns in place, unless that is a view."""


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


__all__ = ["unsafe_view", "wrap_checkpointed_functions"]
