"""Local tensors in the place of parameters while a module's forward runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from planc.ir.lowered import LoweredModule, LoweredParam
from planc.torch.apply.dtensor_params import local_param
from planc.torch.apply.module_runtime import ForwardStep, forward_steps_within
from planc.torch.compat import own_parameters

UNSPLIT = LoweredParam(None)
"""The layout of a parameter that the plan does not name."""


class ParamSwap:
    """A parameter of a module, exchanged for this rank's local tensor and back. All modules whose code uses
    the parameter share one swap."""

    def __init__(
        self,
        owner: nn.Module,
        name: str,
        layout: LoweredParam,
        group: ProcessGroup,
        sum_dtype: torch.dtype | None,
    ) -> None:
        self.owner, self.name = owner, name
        self.is_deferred_bias = layout.deferred_bias
        self._grad_group = group if layout.reduce_grad else None
        self._sum_dtype = sum_dtype
        self.installed = False
        """Whether the local tensor is in the parameter's place."""
        self._parameter: Any = None
        self._deferred: Tensor | None = None

    @property
    def deferred_bias(self) -> Tensor:
        """The local tensor of a deferred bias, which the module computes without."""
        if self._deferred is not None:
            return self._deferred
        return self._local_param(own_parameters(self.owner)[self.name])  # type: ignore[arg-type]

    def local(self) -> Tensor:
        """The local tensor of a parameter that is no deferred bias, installed or not."""
        parameter: Any = own_parameters(self.owner)[self.name]
        return parameter if self.installed else self._local_param(parameter)

    def install(self) -> None:
        """Put the local tensor in the parameter's place."""
        parameter = own_parameters(self.owner)[self.name]
        self._parameter, self.installed = parameter, True
        if parameter is not None:
            # Made here and not when it is needed: a compiled region must see local tensors only.
            self._deferred = self._local_param(parameter) if self.is_deferred_bias else None
            own_parameters(self.owner)[self.name] = self._replacement(parameter)  # type: ignore[assignment]

    def restore(self) -> None:
        """Put the parameter back in its place."""
        own_parameters(self.owner)[self.name] = self._parameter
        self._parameter, self._deferred, self.installed = None, None, False

    def _replacement(self, parameter: Tensor) -> Tensor | None:
        """A deferred bias is left out: a module that cannot do without one gets zeros."""
        if self.is_deferred_bias:
            can_miss_it = type(self.owner).forward is nn.Linear.forward
            return None if can_miss_it else torch.zeros_like(local_param(parameter))
        return self._local_param(parameter)

    def _local_param(self, parameter: Tensor) -> Tensor:
        return local_param(parameter, self._grad_group, self._sum_dtype)


class LocalForward(ForwardStep):
    """Runs the forward with local parameters. Not as a hook: a region that is recomputed runs no hooks."""

    def __init__(self, swaps: Sequence[ParamSwap]) -> None:
        self.swaps = swaps

    def run(self, *args: Any, **kwargs: Any) -> Any:
        return run_with_local_params(self.swaps, self.inner, args, kwargs)


def run_with_local_params(
    swaps: Sequence[ParamSwap], forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a forward with local parameters; those that a step around it has installed stay."""
    pending = [swap for swap in swaps if not swap.installed]
    for swap in pending:
        swap.install()
    # A compiler runs the code of checkpoints again by itself, and would compile each state of the list anew.
    is_listed = bool(pending) and not torch.compiler.is_compiling()
    if is_listed:
        _RUNNING.append(pending)
    try:
        return forward(*args, **kwargs)
    finally:
        if is_listed:
            _RUNNING.pop()
        for swap in pending:
            swap.restore()


_RUNNING: list[Sequence[ParamSwap]] = []
"""The swaps of the modules that run now, outermost first."""


def installed_swaps() -> list[ParamSwap]:
    """The parameters in whose place local tensors are now."""
    return [swap for swaps in _RUNNING for swap in swaps]


class ParamSwaps:
    """The swaps of all modules of a model on one axis."""

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        lowered: Mapping[str, LoweredModule],
        group: ProcessGroup,
        sum_dtype: torch.dtype | None,
    ) -> None:
        """
        Args:
            modules: all modules of the model, by all of their dotted names.
            lowered: instructions for modules, by dotted name.
            sum_dtype: the dtype in which gradients are summed over the axis; None: their own.
        """
        self._modules, self._lowered, self._group = modules, lowered, group
        self._sum_dtype = sum_dtype
        self._swaps: dict[tuple[int, str], ParamSwap] = {}

    def of_code(self, name: str) -> list[ParamSwap]:
        """The parameters that the code of a module uses: its own, and those of modules below that the proof
        saw it use."""
        return [
            self._swap(owner, own)
            for owner, own in self._params_used_by(name)
            if owner in self._modules and own_parameters(self._modules[owner]).get(own) is not None
        ]

    def of_param(self, module: nn.Module, own: str) -> ParamSwap | None:
        """The swap of a module's own parameter; None: no code uses it."""
        return self._swaps.get((id(module), own))

    def _params_used_by(self, name: str) -> Iterator[tuple[str, str]]:
        yield from ((name, own) for own in own_parameters(self._modules[name]))
        for path in self._lowered[name].descendant_params if name in self._lowered else ():
            full = path[1:] if path.startswith("/") else (f"{name}.{path}" if name else path)
            owner, _, own = full.rpartition(".")
            yield owner, own

    def _swap(self, owner: str, own: str) -> ParamSwap:
        module = self._modules[owner]
        key = (id(module), own)
        if key not in self._swaps:
            lowered = self._lowered.get(owner)
            layout = lowered.parameters.get(own, UNSPLIT) if lowered is not None else UNSPLIT
            self._swaps[key] = ParamSwap(module, own, layout, self._group, self._sum_dtype)
        return self._swaps[key]


def swaps_within(module: nn.Module) -> list[ParamSwap]:
    """The parameters that a module and those in it use, each once."""
    steps = (step for step in forward_steps_within(module) if isinstance(step, LocalForward))
    return list({id(swap): swap for step in steps for swap in step.swaps}.values())
