"""The dtype in which gradients are summed over ranks, and what lets a sum keep it until FSDP reduces the gradient.

A rank's part of a gradient has the dtype that the module computes in, say bfloat16. Its sum over a tensor axis is computed
in the dtype of `reduce`, say float32. Autograd would round it to the parameter's dtype before FSDP adds the sums of other
ranks and other micro-batches, which it does in float32: so the parameter's gradient is given the wider dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.utils.hooks import RemovableHandle

from planc.ir.lowered import Lowered, LoweredFsdp

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def torch_dtype(fsdp: LoweredFsdp, setting: str) -> torch.dtype | None:
    """The dtype that a setting of an `fsdp` block names; None: the block does not have it."""
    return _DTYPES.get(str(fsdp.settings.get(setting)))


def reduce_dtype(fsdp: LoweredFsdp | None) -> torch.dtype | None:
    """The dtype in which gradients are summed over ranks: `reduce`, else `params`, which is that of the gradients.
    Releases of torch differ in what they do where no dtype is given.

    Returns:
        None: gradients are summed in the dtype that they have.
    """
    if fsdp is None or not fsdp.units:
        return None
    return torch_dtype(fsdp, "reduce") or torch_dtype(fsdp, "params")


def units_with_partial_grads(lowered: Lowered) -> frozenset[str]:
    """The units of FSDP with parameters of their own whose gradients are summed over a tensor axis, by dotted name."""
    units = {name for unit in (lowered.fsdp.units if lowered.fsdp else ()) for name in unit.modules}
    found = set()
    for axis in lowered.tensor:
        for name, module in axis.modules.items():
            if any(parameter.reduce_grad for parameter in module.parameters.values()):
                parts = name.split(".") if name else []
                around = [".".join(parts[:count]) for count in range(len(parts), -1, -1)]
                found.update([unit for unit in around if unit in units][:1])
    return frozenset(found)


def widen_grads(modules: Sequence[nn.Module], dtype: torch.dtype, axis: str) -> None:
    """Give the gradients of a unit's gathered parameters a dtype, where it is wider than that of the parameters. All of
    the unit: FSDP2 reduces gradients of one dtype together.

    Args:
        modules: of the unit, after `fully_shard`.
        axis: over which they are sharded.
    """
    for module in modules:
        hook = _WidenGrads(dtype, axis)
        hook.handle = module.register_forward_pre_hook(hook)


class _WidenGrads:
    """A hook for the first call of a module, after FSDP2's: the gathered parameters exist from then on."""

    handle: RemovableHandle

    def __init__(self, dtype: torch.dtype, axis: str) -> None:
        self.dtype, self.axis = dtype, axis

    def __call__(self, module: nn.Module, args: Any) -> None:
        self.handle.remove()
        for parameter in module.parameters():
            # Those of units inside are sharded now, and have hooks of their own.
            is_sharded = isinstance(parameter, DTensor) and self.axis in (
                parameter.device_mesh.mesh_dim_names or ()
            )
            is_narrower = parameter.is_floating_point() and parameter.dtype.itemsize < self.dtype.itemsize
            if parameter.requires_grad and is_narrower and not is_sharded:
                parameter.grad_dtype = self.dtype
