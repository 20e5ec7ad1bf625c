"""Local tensors in the place of parameters while a module's forward runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from planc.ir.lowered import LoweredModule, LoweredParam
from planc.torch.apply.dtensor_params import local_param
from planc.torch.apply.local_buffers import BufferSwap
from planc.torch.apply.module_runtime import ForwardStep, HookStep, forward_steps_within
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

    def suspend(self) -> Callable[[], None]:
        """Put the parameter back for a while. Returns what ends that."""
        place, state = own_parameters(self.owner), (self._parameter, self._deferred)
        local, place[self.name] = place[self.name], self._parameter
        self.installed = False

        def resume() -> None:
            self._parameter, self._deferred = state
            place[self.name], self.installed = local, True

        return resume

    def _replacement(self, parameter: Tensor) -> Tensor | None:
        """A deferred bias is left out: a module that cannot do without one gets zeros."""
        if self.is_deferred_bias:
            can_miss_it = type(self.owner).forward is nn.Linear.forward
            return None if can_miss_it else torch.zeros_like(local_param(parameter))
        return self._local_param(parameter)

    def _local_param(self, parameter: Tensor) -> Tensor:
        return local_param(parameter, self._grad_group, self._sum_dtype)


class GlobalSizeParam:
    """A parameter that stands in its own place, as a DTensor, while code runs that reads its global size: also where a
    step around has installed the local tensor. It is used as a swap is."""

    def __init__(self, swap: ParamSwap) -> None:
        self.swap = swap
        self.installed = False
        self._resume: Callable[[], None] | None = None

    def install(self) -> None:
        """Take a local tensor out of the parameter's place, if one is there."""
        self.installed = True
        self._resume = self.swap.suspend() if self.swap.installed else None

    def restore(self) -> None:
        """Put the local tensor back."""
        if self._resume is not None:
            self._resume()
        self.installed, self._resume = False, None


AnySwap = ParamSwap | GlobalSizeParam | BufferSwap


class LocalForward(ForwardStep):
    """Runs the forward with local parameters. Not as a hook: a region that is recomputed runs no hooks."""

    def __init__(self, swaps: Sequence[AnySwap]) -> None:
        self.swaps = swaps

    def run(self, *args: Any, **kwargs: Any) -> Any:
        return run_with_local_params(self.swaps, self.inner, args, kwargs)


class LocalHooks(HookStep):
    """Installs local parameters around the hooks that a module had before the plan was applied: they compute with
    what its forward computes with."""

    def __init__(self, swaps: Sequence[AnySwap]) -> None:
        self.swaps = swaps
        self._installed: list[Sequence[AnySwap]] = []

    def enter(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        self._installed.append(_install(self.swaps))
        return args, kwargs

    def close(self) -> None:
        if self._installed:
            _restore(self._installed.pop())


def run_with_local_params(
    swaps: Sequence[AnySwap], forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call a forward with local parameters; those that a step around it has installed stay."""
    installed = _install(swaps)
    try:
        return forward(*args, **kwargs)
    finally:
        _restore(installed)


def _install(swaps: Sequence[AnySwap]) -> Sequence[AnySwap]:
    """Install those swaps that are not. Returns them, for `_restore`."""
    pending = [swap for swap in swaps if not swap.installed]
    for swap in pending:
        swap.install()
    # A compiler runs the code of checkpoints again by itself, and would compile each state of the list anew.
    if pending and not torch.compiler.is_compiling():
        _RUNNING.append(pending)
    return pending


def _restore(installed: Sequence[AnySwap]) -> None:
    if _RUNNING and _RUNNING[-1] is installed:
        _RUNNING.pop()
    for swap in reversed(installed):
        swap.restore()


_RUNNING: list[Sequence[AnySwap]] = []
"""The swaps of the modules that run now, outermost first."""


def installed_swaps() -> list[AnySwap]:
    """The parameters in whose place local tensors are now, and those that were taken back from there."""
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
        self._places: dict[int, list[tuple[str, str]]] = {}

    def of_code(self, name: str) -> list[ParamSwap]:
        """The parameters that the code of a module uses: its own, and those of modules below that the proof
        saw it use."""
        return self._swaps_of(self._params_used_by(name))

    def with_global_size(self, name: str) -> list[GlobalSizeParam]:
        """The parameters of which the code of a module reads the global size, where other code finds local tensors."""
        lowered = self._lowered.get(name)
        names = () if lowered is None else lowered.whole_params
        return [
            GlobalSizeParam(swap) for swap in self._swaps_of(self._every_place(_split_names(name, names)))
        ]

    def _swaps_of(self, names: Iterable[tuple[str, str]]) -> list[ParamSwap]:
        swaps = [
            self._swap(owner, own)
            for owner, own in names
            if owner in self._modules and own_parameters(self._modules[owner]).get(own) is not None
        ]
        return list({id(swap): swap for swap in swaps}.values())

    def _every_place(self, names: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """The places of parameters, and those of the modules with which they are tied: code may read any of them."""
        if not self._places:
            for name, module in self._modules.items():
                for own, parameter in own_parameters(module).items():
                    self._places.setdefault(id(parameter), []).append((name, own))
        for owner, own in names:
            yield (owner, own)
            if owner in self._modules:
                parameter = own_parameters(self._modules[owner]).get(own)
                yield from self._places.get(id(parameter), ()) if parameter is not None else ()

    def of_param(self, module: nn.Module, own: str) -> ParamSwap | None:
        """The swap of a module's own parameter; None: no code uses it."""
        return self._swaps.get((id(module), own))

    def _params_used_by(self, name: str) -> Iterator[tuple[str, str]]:
        yield from ((name, own) for own in own_parameters(self._modules[name]))
        if name in self._lowered:
            yield from self._every_place(_split_names(name, self._lowered[name].descendant_params))

    def _swap(self, owner: str, own: str) -> ParamSwap:
        module = self._modules[owner]
        key = (id(module), own)
        if key not in self._swaps:
            lowered = self._lowered.get(owner)
            layout = lowered.parameters.get(own, UNSPLIT) if lowered is not None else UNSPLIT
            self._swaps[key] = ParamSwap(module, own, layout, self._group, self._sum_dtype)
        return self._swaps[key]


def _split_names(module: str, params: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The owner and the own name of parameters, given relative to a module."""
    for path in params:
        full = path[1:] if path.startswith("/") else (f"{module}.{path}" if module else path)
        owner, _, own = full.rpartition(".")
        yield owner, own


def swaps_within(module: nn.Module) -> list[ParamSwap]:
    """The parameters that a module and those in it use, each once."""
    steps = (step for step in forward_steps_within(module) if isinstance(step, LocalForward))
    swaps = (swap for step in steps for swap in step.swaps if isinstance(swap, ParamSwap))
    return list({id(swap): swap for swap in swaps}.values())
