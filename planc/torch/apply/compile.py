"""Compiled regions: the forward of a module becomes one `torch.compile`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh

from planc.ir.lowered import Lowered
from planc.torch.apply.fsdp import fsdp_unit_names, is_inside
from planc.torch.apply.module_runtime import ForwardStep, ModuleRuntime
from planc.torch.apply.param_swap import ParamSwap, run_with_local_params, swaps_within


def apply_compile(model: nn.Module, lowered: Lowered, mesh: DeviceMesh) -> None:  # as each kind's
    """Compile the forward of modules, each by itself, in place. Hooks stay outside: those of FSDP2 and those
    of the module's boundary. With TORCH_COMPILE_DISABLE=1 in the environment, nothing is changed."""
    if os.environ.get("TORCH_COMPILE_DISABLE") == "1":
        return
    units = fsdp_unit_names(lowered)
    seen = set()
    for region in lowered.compile:
        for name in region.modules:
            module = model.get_submodule(name)
            if module in seen:
                continue
            seen.add(module)
            # The parameters of FSDP2's units are gathered only while the units run.
            is_gathered = not any(is_inside(unit, frozenset((name,))) for unit in units)
            swaps = swaps_within(module) if is_gathered else ()
            ModuleRuntime.of(module).add_forward_step(module, CompiledForward(swaps, region.options))


class CompiledForward(ForwardStep):
    """Compiles the forward, and installs all local parameters of the region around it: what is compiled then
    changes no module, which a compiler never allows in code that runs a second time in the backward pass."""

    def __init__(self, swaps: Sequence[ParamSwap], options: Mapping[str, Any]) -> None:
        self.swaps, self.options = swaps, options

    def wrap(self, inner: Callable[..., Any]) -> None:
        super().wrap(inner)
        self._compiled = torch.compile(inner, **self.options)

    def run(self, *args: Any, **kwargs: Any) -> Any:
        return run_with_local_params(self.swaps, self._compiled, args, kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return {key: item for key, item in self.__dict__.items() if key != "_compiled"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy of a module compiles its own forward."""
        self.__dict__.update(state)
        self.wrap(self.inner)
