"""Activation checkpointing: the forward of a region runs a second time in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from planc.ir.lowered import LoweredRegion
from planc.torch.apply.param_swap import WrappedForward
from planc.torch.apply.rng import preserve_rng_streams
from planc.torch.compat import FUNCTIONAL_COLLECTIVE_NAMES

_SAVED_OPS: Mapping[str, Sequence[str]] = {
    "matmul": (
        "aten.mm", "aten.addmm", "aten.bmm", "aten.baddbmm", "aten.mv", "aten.addmv",
        "aten._grouped_mm", "aten._scaled_mm", "aten._scaled_grouped_mm",
    ),
    "attention": (
        "aten._scaled_dot_product_flash_attention", "aten._scaled_dot_product_efficient_attention",
        "aten._scaled_dot_product_flash_attention_for_cpu", "aten._scaled_dot_product_cudnn_attention",
        "aten._scaled_dot_product_fused_attention_overrideable",
        "aten._flash_attention_forward", "aten._efficient_attention_forward",
    ),
    "collective": (
        *FUNCTIONAL_COLLECTIVE_NAMES,
        "planc.all_gather", "planc.reduce_scatter",
    ),
}  # fmt: skip
"""The operations of each kind, as autograd's formulas call them; not every torch has all."""


def apply_recompute(model: nn.Module, regions: Sequence[LoweredRegion]) -> None:
    """Run the forward of modules again in the backward pass. No module gets another name."""
    seen = set()
    for region in regions:
        context = _selective_context(region.save) if region.mode == "save" else None
        for name in region.modules:
            module = model.get_submodule(name)
            if module in seen:
                continue
            seen.add(module)
            module.forward = _CheckpointedForward(module.forward, context).run


class _CheckpointedForward(WrappedForward):
    """A forward that is run again in the backward pass: its shares are put in place each time."""

    def __init__(self, forward: Callable[..., Any], context: Any) -> None:
        super().__init__(forward, ())
        self.how = {} if context is None else {"context_fn": context}

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The forward of the module."""
        return checkpoint(
            preserve_rng_streams(self.forward), *args, use_reentrant=False, **self.how, **kwargs
        )


def _selective_context(save: Sequence[str]) -> Any:
    kept = {op for kind in save for name in _SAVED_OPS[kind] if (op := _find_op(name)) is not None}

    def policy(_: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
        return CheckpointPolicy.MUST_SAVE if op in kept else CheckpointPolicy.PREFER_RECOMPUTE

    return partial(create_selective_checkpoint_contexts, policy)


def _find_op(name: str) -> Any:
    space, _, own = name.partition(".")
    return getattr(getattr(getattr(torch.ops, space), own, None), "default", None)
