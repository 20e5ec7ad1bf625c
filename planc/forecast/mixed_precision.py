"""What computes in another dtype than the one that the model was captured in: FSDP's units cast
their parameters, and what they are handed."""

from __future__ import annotations

from collections.abc import Mapping

from planc.bind.binding import Binding, BoundModule
from planc.ir.blocks import Unit
from planc.ir.graph import TensorInfo

TORCH_DTYPES: Mapping[str, str] = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
"""As a plan writes a dtype, and as torch does."""


class MixedPrecision:
    """The dtypes that run."""

    def __init__(self, binding: Binding) -> None:
        self._cast: dict[str, tuple[str, str]] = {}
        """By module: the dtype of its unit's parameters, and what FSDP makes of it."""
        for number, block in binding.resolved.active_blocks_of(Unit):
            settings = {setting.value.name: str(setting.value.value) for setting in block.settings}
            said = TORCH_DTYPES.get(settings.get("params", ""))
            if said is not None:
                self._walk(binding, number, said, "", binding.root, None)

    def at_run_time(self, module: str, info: TensorInfo) -> TensorInfo:
        """A tensor in the dtype that a module has it in. One that was captured in another dtype than
        the parameters is one that the code casts by itself."""
        before, after = self._cast.get(module, (info.dtype, info.dtype))
        return TensorInfo(info.shape, after if info.dtype == before else info.dtype, info.grad)

    def _walk(
        self, binding: Binding, number: int, said: str, name: str, bound: BoundModule, unit: str | None
    ) -> None:
        if binding.entry_for(bound, number) is not None:
            unit = next(
                (info.dtype for _, at in bound.named_modules() for info in at.module.parameters.values()),
                unit,
            )
        if unit is not None:
            self._cast[name] = (unit, said)
        for own, child in bound.children.items():
            self._walk(binding, number, said, f"{name}.{own}" if name else own, child, unit)
