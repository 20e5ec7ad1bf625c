"""FSDP's mixed precision: its units cast their parameters and their inputs to another dtype."""

from __future__ import annotations

from collections.abc import Mapping

from planc.bind.binding import Binding, BoundModule
from planc.ir.blocks import Unit
from planc.ir.graph import TensorInfo
from planc.ir.resolved import ResolvedBlock

TORCH_DTYPES: Mapping[str, str] = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
"""torch's names of the dtypes that a plan names."""


def fsdp_dtypes(block: ResolvedBlock) -> tuple[str | None, str | None]:
    """The dtypes in which a block of units gathers parameters and reduces gradients: `params` and `reduce`, which
    is `params` where the plan does not say it. None: that of the model's own parameters."""
    settings = {setting.value.name: str(setting.value.value) for setting in block.settings}
    params = TORCH_DTYPES.get(settings.get("params", ""))
    return params, TORCH_DTYPES.get(settings.get("reduce", "")) or params


class MixedPrecision:
    """The dtypes of tensors at run time."""

    def __init__(self, binding: Binding) -> None:
        self._casts: dict[str, tuple[str, str]] = {}
        """For each module in a unit that casts: the captured dtype of the unit's parameters, and the cast one."""
        self._reduce: str | None = None
        """The dtype in which gradients are reduced; None: their own."""
        for number, block in binding.resolved.active_blocks_of(Unit):
            dtype, self._reduce = fsdp_dtypes(block)
            if dtype is not None:
                self._add_casts(binding, number, dtype, "", binding.root, None)

    def at_run_time(self, module: str, info: TensorInfo) -> TensorInfo:
        """A tensor of a module in its dtype at run time. One that was captured in another dtype than the
        parameters keeps it: the code casts it by itself."""
        captured, cast = self._casts.get(module, (info.dtype, info.dtype))
        return TensorInfo(info.shape, cast if info.dtype == captured else info.dtype, info.grad)

    def of_summed_gradient(self, info: TensorInfo) -> TensorInfo:
        """A gradient, whose parameter is given, in the dtype in which it is summed over ranks."""
        return TensorInfo(info.shape, self._reduce or info.dtype, info.grad)

    def _add_casts(
        self, binding: Binding, number: int, dtype: str, name: str, bound: BoundModule, captured: str | None
    ) -> None:
        """Add the modules here and below; `captured` is the dtype of the unit around them."""
        if binding.entry_for(bound, number) is not None:
            params = (info for _, owner in bound.named_modules() for info in owner.module.parameters.values())
            captured = next((info.dtype for info in params), captured)
        if captured is not None:
            self._casts[name] = (captured, dtype)
        for child_name, child in bound.children.items():
            path = f"{name}.{child_name}" if name else child_name
            self._add_casts(binding, number, dtype, path, child, captured)
