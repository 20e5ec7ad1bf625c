"""Activation checkpointing: the forward of a region runs a second time in the backward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from planc.ir.lowered import Lowered
from planc.torch.apply.buffer_state import BufferSlot, buffer_slots, preserve_buffers
from planc.torch.apply.module_runtime import ForwardStep, ModuleRuntime
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
"""The operations of each kind as autograd's formulas call them; some releases of torch lack some."""


def apply_recompute(model: nn.Module, lowered: Lowered, mesh: DeviceMesh) -> None:  # as each kind's
    """Let the forward of modules run a second time in the backward pass. Modules keep their names."""
    seen = set()
    for region in lowered.recompute:
        context = _selective_context(region.save) if region.mode == "save" else None
        for name in region.modules:
            module = model.get_submodule(name)
            if module not in seen:
                seen.add(module)
                slots = buffer_slots(model, region.restored_buffers.get(name, ()))
                ModuleRuntime.of(module).add_forward_step(module, CheckpointedForward(context, slots))


class CheckpointedForward(ForwardStep):
    """Runs the forward under `torch.utils.checkpoint`. The steps inside of it install local parameters each
    time that it runs; `follow_checkpoints` restores the random streams."""

    def __init__(self, context_fn: Any, slots: Sequence[BufferSlot]) -> None:
        self.slots = slots
        self.options = {} if context_fn is None else {"context_fn": context_fn}
        self.compiled_options = self.options or {"context_fn": _SAVE_NOTHING}

    def run(self, *args: Any, **kwargs: Any) -> Any:
        options = self.compiled_options if torch.compiler.is_compiling() else self.options
        forward = preserve_buffers(self.inner, self.slots) if self.slots else self.inner
        return checkpoint(forward, *args, use_reentrant=False, **options, **kwargs)


def _recompute(_: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_RECOMPUTE


_SAVE_NOTHING = partial(create_selective_checkpoint_contexts, _recompute)
"""The contexts of a compiled region that keeps its inputs alone. Without them a compiler keeps what it finds cheaper to
keep, and torch 2.11 does not see that what autograd functions compute, such as gathers, belongs to the region."""


def _selective_context(save: Sequence[str]) -> Any:
    """The contexts of a region that saves the results of some kinds of operation."""
    saved = saved_ops(save)

    def policy(_: Any, op: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
        return CheckpointPolicy.MUST_SAVE if op in saved else CheckpointPolicy.PREFER_RECOMPUTE

    return partial(create_selective_checkpoint_contexts, policy)


def saved_ops(kinds: Sequence[str]) -> set[Any]:
    """The overloads of these kinds of operation, those that this release of torch has."""
    return {op for kind in kinds for name in _SAVED_OPS[kind] if (op := _find_op(name)) is not None}


def _find_op(name: str) -> Any:
    namespace, _, op = name.partition(".")
    return getattr(getattr(getattr(torch.ops, namespace), op, None), "default", None)
