"""Compiled regions: the forward of a module becomes one `torch.compile`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from planc.ir.lowered import LoweredRegion
from planc.torch.apply.fsdp import is_inside
from planc.torch.apply.param_swap import ParamSwap, WrappedForward, swaps_within


def apply_compile(model: nn.Module, regions: Sequence[LoweredRegion], units: frozenset[str]) -> None:
    """Compile the forward of modules, each by itself, in place. Hooks stay outside: FSDP's, and the
    boundary of the module.

    Args:
        units: the names of FSDP's units, whose parameters are whole only while they run.
    """
    seen = set()
    for region in regions:
        for name in region.modules:
            module = model.get_submodule(name)
            if module in seen:
                continue
            seen.add(module)
            gathered = not any(is_inside(unit, frozenset((name,))) for unit in units)
            uses = swaps_within(module) if gathered else ()
            module.forward = _CompiledForward(module.forward, uses, region.options).run


class _CompiledForward(WrappedForward):
    """A compiled forward, with the shares of all that it needs put in place around it: it then
    changes no module, which a compiler allows nowhere in what runs again in the backward pass."""

    def __init__(
        self, forward: Callable[..., Any], uses: Sequence[ParamSwap], options: Mapping[str, Any]
    ) -> None:
        super().__init__(forward, uses)
        self.options = options
        self._compiled = torch.compile(forward, **options)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The forward of the module."""
        return self.with_local_params(self._compiled, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {key: item for key, item in self.__dict__.items() if key != "_compiled"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy of a module compiles its own forward."""
        self.__init__(**state)  # type: ignore[misc]
