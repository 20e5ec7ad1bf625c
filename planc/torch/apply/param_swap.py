"""The rank's share of parameters, in their place while a forward runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from planc.ir.lowered import LoweredModule, LoweredParam
from planc.torch.apply.param_shards import local_param
from planc.torch.compat import own_parameters

UNSPLIT = LoweredParam(None)
"""Of a parameter that a plan says nothing of."""


class ParamSwap:
    """A parameter in a module whose code uses it."""

    def __init__(self, owner: nn.Module, name: str, layout: LoweredParam, group: ProcessGroup) -> None:
        self.owner, self.name, self.group = owner, name, group
        self.late, self.summed = layout.deferred_bias, layout.reduce_grad
        self.taken = False
        """Whether the rank's share is in the parameter's place."""
        self._whole: Any = None
        self._added: Tensor | None = None

    @property
    def deferred_bias(self) -> Tensor:
        """What is added late, of a parameter that the module computes without."""
        return local_param(own_parameters(self.owner)[self.name]) if self._added is None else self._added  # type: ignore[arg-type]

    def local(self) -> Tensor:
        """The rank's share, of a parameter that is not added late, whether it is in its place or not."""
        whole: Any = own_parameters(self.owner)[self.name]
        return whole if self.taken else local_param(whole, self.group if self.summed else None)

    def install(self) -> None:
        """Put the rank's share in the parameter's place."""
        whole = own_parameters(self.owner)[self.name]
        self._whole, self.taken = whole, True
        if whole is not None:
            # Not made when it is needed: a compiled region sees local tensors alone.
            self._added = local_param(whole) if self.late else None
            own_parameters(self.owner)[self.name] = self._local_value(whole)  # type: ignore[assignment]

    def restore(self) -> None:
        """Put the parameter in its place again."""
        own_parameters(self.owner)[self.name] = self._whole
        self._whole, self._added, self.taken = None, None, False

    def _local_value(self, whole: Tensor) -> Tensor | None:
        if self.late:
            return None if isinstance(self.owner, nn.Linear) else torch.zeros_like(local_param(whole))
        return local_param(whole, self.group if self.summed else None)


ParamSwaps = dict[tuple[int, str], ParamSwap]
"""By the identity of the owner and the name: one use of a parameter for all whose code uses it."""


def swaps_of_module(
    modules: Mapping[str, nn.Module],
    name: str,
    lowered: Mapping[str, LoweredModule],
    group: ProcessGroup,
    known: ParamSwaps,
) -> list[ParamSwap]:
    """The parameters that the code of a module uses: its own, and those that the proof saw it use."""
    found = [(name, own) for own in own_parameters(modules[name])]
    for path in lowered[name].descendant_params if name in lowered else ():
        full = path[1:] if path.startswith("/") else (f"{name}.{path}" if name else path)
        owner, _, own = full.rpartition(".")
        found.append((owner, own))
    uses = []
    for owner, own in found:
        if owner in modules and own_parameters(modules[owner]).get(own) is not None:
            key = (id(modules[owner]), own)
            if key not in known:
                part = lowered[owner].parameters.get(own, UNSPLIT) if owner in lowered else UNSPLIT
                known[key] = ParamSwap(modules[owner], own, part, group)
            uses.append(known[key])
    return uses


class WrappedForward:
    """A forward around a module's own, with the parameters that it needs the shares of. Its method
    takes the place of the module's: compiled layers would differ by the identity of a function or a partial."""

    def __init__(self, forward: Callable[..., Any], swaps: Sequence[ParamSwap]) -> None:
        self.forward, self.uses = forward, swaps

    def with_local_params(self, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a forward with the shares in their places, as far as they are not there already."""
        needed = [use for use in self.uses if not use.taken]
        for use in needed:
            use.install()
        try:
            return forward(*args, **kwargs)
        finally:
            for use in needed:
                use.restore()


class LocalForward(WrappedForward):
    """A forward with the rank's share of parameters in their place."""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The forward of the module."""
        return self.with_local_params(self.forward, *args, **kwargs)


def swaps_within(module: nn.Module) -> list[ParamSwap]:
    """The parameters that a module and those in it need the shares of."""
    found: dict[int, ParamSwap] = {}
    for inner in module.modules():
        wrapped = getattr(inner.forward, "__self__", None)
        while isinstance(wrapped, WrappedForward):
            found |= {id(use): use for use in wrapped.uses}
            wrapped = getattr(wrapped.forward, "__self__", None)
    return list(found.values())
