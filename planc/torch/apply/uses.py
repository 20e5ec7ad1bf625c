"""The rank's share of parameters, in their place while a forward runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from planc.ir.lowered import LoweredModule, Part
from planc.torch.apply.parameters import local

WHOLE = Part(None)
"""Of a parameter that a plan says nothing of."""


class Use:
    """A parameter in a module whose code uses it."""

    def __init__(self, owner: nn.Module, name: str, part: Part, group: ProcessGroup) -> None:
        self.owner, self.name, self.group = owner, name, group
        self.late, self.summed = part.late, part.summed
        self.taken = False
        """Whether the rank's share is in the parameter's place."""
        self._whole: Any = None
        self._added: Tensor | None = None

    @property
    def added(self) -> Tensor:
        """What is added late, of a parameter that the module computes without."""
        return local(self.owner._parameters[self.name]) if self._added is None else self._added  # type: ignore[arg-type]

    def now(self) -> Tensor:
        """The rank's share, of a parameter that is not added late, whether it is in its place or not."""
        whole: Any = self.owner._parameters[self.name]
        return whole if self.taken else local(whole, self.group if self.summed else None)

    def take(self) -> None:
        """Put the rank's share in the parameter's place."""
        whole = self.owner._parameters[self.name]
        self._whole, self.taken = whole, True
        if whole is not None:
            # Not made when it is needed: a compiled region sees local tensors alone.
            self._added = local(whole) if self.late else None
            self.owner._parameters[self.name] = self._share(whole)  # type: ignore[assignment]

    def give_back(self) -> None:
        """Put the parameter in its place again."""
        self.owner._parameters[self.name] = self._whole
        self._whole, self._added, self.taken = None, None, False

    def _share(self, whole: Tensor) -> Tensor | None:
        if self.late:
            return None if isinstance(self.owner, nn.Linear) else torch.zeros_like(local(whole))
        return local(whole, self.group if self.summed else None)


Uses = dict[tuple[int, str], Use]
"""By the identity of the owner and the name: one use of a parameter for all whose code uses it."""


def uses_of(
    modules: Mapping[str, nn.Module],
    name: str,
    told: Mapping[str, LoweredModule],
    group: ProcessGroup,
    known: Uses,
) -> list[Use]:
    """The parameters that the code of a module uses: its own, and those that the proof saw it use."""
    found = [(name, own) for own in modules[name]._parameters]
    for path in told[name].uses if name in told else ():
        full = path[1:] if path.startswith("/") else (f"{name}.{path}" if name else path)
        owner, _, own = full.rpartition(".")
        found.append((owner, own))
    uses = []
    for owner, own in found:
        if owner in modules and modules[owner]._parameters.get(own) is not None:
            key = (id(modules[owner]), own)
            if key not in known:
                part = told[owner].parameters.get(own, WHOLE) if owner in told else WHOLE
                known[key] = Use(modules[owner], own, part, group)
            uses.append(known[key])
    return uses


class Wrapped:
    """A forward around a module's own, with the parameters that it needs the shares of. Its method
    takes the place of the module's: compiled layers would differ by the identity of a function or a partial."""

    def __init__(self, forward: Callable[..., Any], uses: Sequence[Use]) -> None:
        self.forward, self.uses = forward, uses

    def with_shares(self, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a forward with the shares in their places, as far as they are not there already."""
        needed = [use for use in self.uses if not use.taken]
        for use in needed:
            use.take()
        try:
            return forward(*args, **kwargs)
        finally:
            for use in needed:
                use.give_back()


class Local(Wrapped):
    """A forward with the rank's share of parameters in their place."""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """The forward of the module."""
        return self.with_shares(self.forward, *args, **kwargs)


def uses_within(module: nn.Module) -> list[Use]:
    """The parameters that a module and those in it need the shares of."""
    found: dict[int, Use] = {}
    for inner in module.modules():
        wrapped = getattr(inner.forward, "__self__", None)
        while isinstance(wrapped, Wrapped):
            found |= {id(use): use for use in wrapped.uses}
            wrapped = getattr(wrapped.forward, "__self__", None)
    return list(found.values())
