"""One module under a plan: local weights while it runs, and the boundary around it."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.distributed import ProcessGroup

from planc.ir.lowered import Lay, LoweredModule, Steps
from planc.torch.apply.beside import Gathering, Layer
from planc.torch.apply.chance import Chance
from planc.torch.apply.moves import Moves, move, summed, way
from planc.torch.apply.parameters import local
from planc.torch.apply.places import changed, first_tensor
from planc.torch.apply.uses import Local, Use


class Told:
    """What one module does on one axis, as hooks around its forward."""

    def __init__(self, module: nn.Module, told: LoweredModule, group: ProcessGroup, uses: list[Use]) -> None:
        # Plain data throughout: hooks are compiled with the module.
        self.group, self.looks_up = group, told.looks_up
        self.inputs = [(p.place, way(p.before, p.after)) for p in told.inputs]
        self.outputs = [(p.place, way(p.before, p.after)) for p in told.outputs]
        self.late = [use for use in uses if use.late and use.owner is module]
        self.cut = [p.after.dim for p in told.outputs if p.place == () and p.after.kind == "shard"]
        self.chance = Chance(group, told.draws_apart) if told.draws_apart else None
        self.beside: dict[Steps, Gathering] = {}
        self._outside: list[Tensor] = []
        for name, value in told.attributes.items():
            _set(module, name, value)
        self.first_row = 0
        if told.looks_up and isinstance(module, nn.Embedding):
            self.first_row = _share_rows(module, group)
        if uses:
            # Not by hooks: a region that is run again in the backward pass runs none of them.
            module.forward = Local(module.forward, uses).run
        if self.inputs or self.looks_up or self.chance:
            # Hooks that the module had when it was captured ran inside of its boundary.
            module.register_forward_pre_hook(self._enter, with_kwargs=True, prepend=True)
        if self.chance:
            # No such hook where it is not needed: compiled layers would differ by its number.
            module.register_forward_hook(self._end, with_kwargs=True, always_call=True)
        if self.outputs or self.looks_up or self.late:
            module.register_forward_hook(self._leave, with_kwargs=True)

    def _enter(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        moves = Moves(self.group)
        for place, how in self.inputs:
            better = self.beside[place].begin if place in self.beside else None
            change = partial(moves.moved, how=how, begin=better)
            if isinstance(place[0], int):
                args = changed(args, place, change)
            else:
                kwargs = changed(kwargs, place, change)
        if self.looks_up:
            args, kwargs = self._own_rows(module, args, kwargs)
        if self.chance is not None:
            self.chance.begin()
        return args, kwargs

    def run_beside(self, module: nn.Module, place: Steps, layers: list[Layer]) -> None:
        """Let products of layers run beside the gather of an input."""
        self.beside[place] = Gathering(layers, dict(self.inputs)[place], self.group)
        module.register_forward_hook(self._forget, with_kwargs=True, always_call=True)

    def _forget(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        for gathering in self.beside.values():
            gathering.end()

    def _end(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        if self.chance is not None:
            self.chance.end()

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> Any:
        if self.looks_up:
            outside = self._outside.pop()
            result = changed(result, (), lambda x: x.masked_fill(outside.unsqueeze(-1), 0))
        moves = Moves(self.group)
        for place, how in self.outputs:
            result = changed(result, place, lambda x, h=how: moves.moved(x, h))  # type: ignore[misc]
        for use in self.late:
            result = changed(result, (), lambda x, u=use: x + self._late(u.added, u.summed, x))  # type: ignore[misc]
        return result

    def _own_rows(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Rows of other ranks are looked up as the first one, and made zero afterwards."""
        rows = local(module._parameters["weight"]).shape[0]  # type: ignore[arg-type]

        def own(ids: Tensor) -> Tensor:
            ids = ids - self.first_row
            outside = (ids < 0) | (ids >= rows)
            self._outside.append(outside)
            return ids.masked_fill(outside, 0)

        place = first_tensor(args, kwargs)
        if place is None or isinstance(place[0], int):
            return changed(args, place or (0,), own), kwargs
        return args, changed(kwargs, place, own)

    def _late(self, bias: Tensor, parts: bool, result: Tensor) -> Tensor:
        """A bias, or the rank's slice of it where the result is split along the features."""
        if parts:
            bias = summed(bias, self.group)
        # In the type of the result, as the module itself would add it under autocast.
        own = move(bias, _SLICED, self.group) if result.ndim - 1 in self.cut else bias
        return own.to(result.dtype)


_SLICED = way(Lay("replicated"), Lay("shard", 0))


def _set(module: nn.Module, name: str, value: int) -> None:
    """Give a module its own number; what holds it is copied, as a configuration that others share."""
    first, dot, rest = name.partition(".")
    if not dot:
        setattr(module, name, value)
        return
    holder = copy.copy(getattr(module, first))
    if isinstance(holder, tuple):
        items = list(holder)
        items[int(rest)] = value
        setattr(module, first, tuple(items))
        return
    setattr(holder, rest, value)
    setattr(module, first, holder)


def _share_rows(module: nn.Embedding, group: ProcessGroup) -> int:
    """Number the rows of a table by those that the rank has. Returns the rank's first row."""
    rows = module.weight.shape[0] // group.size()
    first = rows * group.rank()
    padding = module.padding_idx
    if padding is not None:
        module.padding_idx = padding - first if first <= padding < first + rows else None
    return first
