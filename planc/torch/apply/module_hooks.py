"""One module under a plan: local weights while it runs, and the boundary around it."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.distributed import ProcessGroup

from planc.ir.lowered import LocalLayout, LoweredModule, TensorPath
from planc.torch.apply.overlap import AllGatherMatmul, OverlappedLinear
from planc.torch.apply.param_shards import local_param
from planc.torch.apply.param_swap import LocalForward, ParamSwap
from planc.torch.apply.redistribute import (
    RedistributionCache,
    all_reduce_grad,
    apply_redistribution,
    redistribution,
)
from planc.torch.apply.rng import RngScope
from planc.torch.apply.tensor_paths import first_tensor_path, map_tensor_at
from planc.torch.compat import own_parameters


class ModuleHooks:
    """What one module does on one axis, as hooks around its forward."""

    def __init__(
        self, module: nn.Module, lowered: LoweredModule, group: ProcessGroup, swaps: list[ParamSwap]
    ) -> None:
        # Plain data throughout: hooks are compiled with the module.
        self.group, self.looks_up = group, lowered.masked_lookup
        self.inputs = [(p.path, redistribution(p.before, p.after)) for p in lowered.inputs]
        self.outputs = [(p.path, redistribution(p.before, p.after)) for p in lowered.outputs]
        self.late = [use for use in swaps if use.late and use.owner is module]
        self.cut = [p.after.dim for p in lowered.outputs if p.path == () and p.after.kind == "shard"]
        self.chance = RngScope(group, lowered.per_rank_rng) if lowered.per_rank_rng else None
        self.beside: dict[TensorPath, AllGatherMatmul] = {}
        self._outside: list[Tensor] = []
        for name, value in lowered.attributes.items():
            _set_attribute(module, name, value)
        self.first_row = 0
        if lowered.masked_lookup and isinstance(module, nn.Embedding):
            self.first_row = _shard_embedding_rows(module, group)
        if swaps:
            # Not by hooks: a region that is run again in the backward pass runs none of them.
            module.forward = LocalForward(module.forward, swaps).run
        if self.inputs or self.looks_up or self.chance:
            # Hooks that the module had when it was captured ran inside of its boundary.
            module.register_forward_pre_hook(self._before_forward, with_kwargs=True, prepend=True)
        if self.chance:
            # No such hook where it is not needed: compiled layers would differ by its number.
            module.register_forward_hook(self._exit_rng, with_kwargs=True, always_call=True)
        if self.outputs or self.looks_up or self.late:
            module.register_forward_hook(self._after_forward, with_kwargs=True)

    def _before_forward(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        moves = RedistributionCache(self.group)
        for place, how in self.inputs:
            better = self.beside[place].gather if place in self.beside else None
            change = partial(moves.apply, change=how, overlapped=better)
            if isinstance(place[0], int):
                args = map_tensor_at(args, place, change)
            else:
                kwargs = map_tensor_at(kwargs, place, change)
        if self.looks_up:
            args, kwargs = self._to_local_rows(module, args, kwargs)
        if self.chance is not None:
            self.chance.enter()
        return args, kwargs

    def add_overlap(self, module: nn.Module, path: TensorPath, layers: list[OverlappedLinear]) -> None:
        """Let products of layers run beside the gather of an input."""
        self.beside[path] = AllGatherMatmul(layers, dict(self.inputs)[path], self.group)
        module.register_forward_hook(self._clear_overlap, with_kwargs=True, always_call=True)

    def _clear_overlap(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        for gathering in self.beside.values():
            gathering.clear()

    def _exit_rng(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        if self.chance is not None:
            self.chance.exit()

    def _after_forward(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> Any:
        if self.looks_up:
            outside = self._outside.pop()
            result = map_tensor_at(result, (), lambda x: x.masked_fill(outside.unsqueeze(-1), 0))
        moves = RedistributionCache(self.group)
        for place, how in self.outputs:
            result = map_tensor_at(result, place, lambda x, h=how: moves.apply(x, h))  # type: ignore[misc]
        for use in self.late:
            result = map_tensor_at(result, (), partial(self._add_deferred_bias, use))
        return result

    def _to_local_rows(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Rows of other ranks are looked up as the first one, and made zero afterwards."""
        rows = local_param(own_parameters(module)["weight"]).shape[0]  # type: ignore[arg-type]

        def own(ids: Tensor) -> Tensor:
            ids = ids - self.first_row
            outside = (ids < 0) | (ids >= rows)
            self._outside.append(outside)
            return ids.masked_fill(outside, 0)

        place = first_tensor_path(args, kwargs)
        if place is None or isinstance(place[0], int):
            return map_tensor_at(args, place or (0,), own), kwargs
        return args, map_tensor_at(kwargs, place, own)

    def _add_deferred_bias(self, use: ParamSwap, result: Tensor) -> Tensor:
        return result + self._deferred_bias(use.deferred_bias, use.summed, result)

    def _deferred_bias(self, bias: Tensor, all_reduces_grad: bool, result: Tensor) -> Tensor:
        """A bias, or the rank's slice of it where the result is split along the features."""
        if all_reduces_grad:
            bias = all_reduce_grad(bias, self.group)
        # In the type of the result, as the module itself would add it under autocast.
        own = (
            apply_redistribution(bias, _REPLICATED_TO_SHARD0, self.group)
            if result.ndim - 1 in self.cut
            else bias
        )
        return own.to(result.dtype)


_REPLICATED_TO_SHARD0 = redistribution(LocalLayout("replicated"), LocalLayout("shard", 0))


def _set_attribute(module: nn.Module, name: str, value: int) -> None:
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


def _shard_embedding_rows(module: nn.Embedding, group: ProcessGroup) -> int:
    """Number the rows of a table by those that the rank has. Returns the rank's first row."""
    rows = module.weight.shape[0] // group.size()
    first = rows * group.rank()
    padding = module.padding_idx
    if padding is not None:
        module.padding_idx = padding - first if first <= padding < first + rows else None
    return first
