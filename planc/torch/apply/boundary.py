"""What changes where a tensor enters or leaves a module: its layout, the rows of a lookup, a deferred bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.distributed import ProcessGroup

from planc.ir.lowered import LocalLayout, LoweredChange, LoweredModule, TensorPath
from planc.torch.apply.argument_names import positional_names
from planc.torch.apply.dtensor_params import local_param
from planc.torch.apply.module_runtime import HookStep
from planc.torch.apply.overlap import AllGatherMatmul, OverlappedLinear
from planc.torch.apply.param_swap import ParamSwap
from planc.torch.apply.redistribute import (
    Redistribution,
    RedistributionCache,
    apply_redistribution,
    redistribution,
)
from planc.torch.apply.rng import RngScope
from planc.torch.apply.tensor_paths import TensorFunction, find_tensor, first_tensor_path, map_tensor_at
from planc.torch.compat import own_parameters

_REPLICATED_TO_SHARD0 = redistribution(LocalLayout("replicated"), LocalLayout("shard", 0))


def boundary_steps(
    module: nn.Module,
    lowered: LoweredModule,
    group: ProcessGroup,
    swaps: Sequence[ParamSwap],
    overlapped: Mapping[TensorPath, Sequence[OverlappedLinear]],
) -> list[HookStep]:
    """The hook steps of a module on one axis, outermost first.

    Args:
        swaps: the parameters that the module's code uses.
        overlapped: linear layers to multiply during the gather of an input, by the input.
    """
    steps: list[HookStep] = []
    biases = [swap for swap in swaps if swap.is_deferred_bias and swap.owner is module]
    if biases:
        steps.append(DeferredBias(biases, lowered.outputs, group))
    if overlapped:
        steps.append(OverlappedInputs(module, lowered.inputs, group, overlapped))
    elif lowered.inputs:
        steps.append(InputRedistribution(module, lowered.inputs, group))
    if lowered.outputs:
        steps.append(OutputRedistribution(lowered.outputs, group))
    if lowered.masked_lookup:
        steps.append(MaskedLookup(module, group))
    if lowered.per_rank_rng:
        steps.append(RngScope(group, lowered.per_rank_rng))
    return steps


class InputRedistribution(HookStep):
    """Changes the layout of arguments, by position or by name: a caller may pass either."""

    def __init__(self, module: nn.Module, changes: Sequence[LoweredChange], group: ProcessGroup) -> None:
        self.group = group
        self.changes = [
            (
                c.path,
                _other_path(module, c.path),
                redistribution(c.before, c.after, written=c.written),
                c.ndims,
            )
            for c in changes
        ]

    def enter(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        cache = RedistributionCache(self.group)
        for path, other_path, change, ndims in self.changes:
            function = self._function(cache, path, change, ndims)
            for each in (path, other_path):
                if isinstance(each[0], int):
                    if find_tensor(args, each) is not None:
                        args = map_tensor_at(args, each, function)
                        break
                elif find_tensor(kwargs, each) is not None:
                    kwargs = map_tensor_at(kwargs, each, function)
                    break
        return args, kwargs

    def _function(
        self, cache: RedistributionCache, path: TensorPath, change: Redistribution, ndims: tuple[int, ...]
    ) -> TensorFunction:
        return partial(cache.apply, change=change, ndims=ndims)


def _other_path(module: nn.Module, path: TensorPath) -> TensorPath:
    """Where a tensor is if the caller passes it by name and not by position, or the other way round."""
    names = positional_names(module)
    key, rest = path[0], path[1:]
    if isinstance(key, int):
        return (names[key], *rest) if key < len(names) else path
    return (names.index(key), *rest) if key in names else path


class OverlappedInputs(InputRedistribution):
    """Changes the layout of arguments; the products of linear layers are computed during a gather."""

    def __init__(
        self,
        module: nn.Module,
        changes: Sequence[LoweredChange],
        group: ProcessGroup,
        layers: Mapping[TensorPath, Sequence[OverlappedLinear]],
    ) -> None:
        super().__init__(module, changes, group)
        self.gathers = {path: AllGatherMatmul(each, group) for path, each in layers.items()}

    def close(self) -> None:
        for gather in self.gathers.values():
            gather.clear()

    def _function(
        self, cache: RedistributionCache, path: TensorPath, change: Redistribution, ndims: tuple[int, ...]
    ) -> TensorFunction:
        if path not in self.gathers:
            return super()._function(cache, path, change, ndims)
        return partial(cache.apply, change=change, ndims=ndims, overlapped=self.gathers[path].gather)


class OutputRedistribution(HookStep):
    """Changes the layout of results."""

    def __init__(self, changes: Sequence[LoweredChange], group: ProcessGroup) -> None:
        self.group = group
        self.changes = [(c.path, redistribution(c.before, c.after), c.ndims) for c in changes]

    def leave(self, result: Any) -> Any:
        cache = RedistributionCache(self.group)
        for path, change, ndims in self.changes:
            if find_tensor(result, path) is not None:
                result = map_tensor_at(result, path, partial(cache.apply, change=change, ndims=ndims))
        return result


class MaskedLookup(HookStep):
    """Looks up the rows of this rank's slice of a table: other ids look up its first row, which becomes zero."""

    def __init__(self, module: nn.Module, group: ProcessGroup) -> None:
        self.rows = local_param(own_parameters(module)["weight"]).shape[0]  # type: ignore[arg-type]
        self.first_row = self.rows * group.rank()
        self._mask: Tensor | None = None
        """Of the call that runs: one that ends early, as those that run again do, leaves none behind."""

    def enter(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        path = first_tensor_path(args, kwargs)
        if path is None or isinstance(path[0], int):
            return map_tensor_at(args, path or (0,), self._local_rows), kwargs
        return args, map_tensor_at(kwargs, path, self._local_rows)

    def leave(self, result: Any) -> Any:
        mask, self._mask = self._mask, None
        assert mask is not None
        outside = mask
        # The code may have flattened the rows, in their order.
        return map_tensor_at(result, (), lambda x: x.masked_fill(outside.reshape(*x.shape[:-1], 1), 0))

    def _local_rows(self, ids: Tensor) -> Tensor:
        ids = ids - self.first_row
        mask = (ids < 0) | (ids >= self.rows)
        self._mask = mask
        return ids.masked_fill(mask, 0)


class DeferredBias(HookStep):
    """Adds biases to the output after its all-reduce: each rank would add its own otherwise."""

    def __init__(
        self, biases: Sequence[ParamSwap], outputs: Sequence[LoweredChange], group: ProcessGroup
    ) -> None:
        self.biases, self.group = biases, group
        self.sharded_dims = [c.after.dim for c in outputs if c.path == () and c.after.kind == "shard"]

    def leave(self, result: Any) -> Any:
        for bias in self.biases:
            result = map_tensor_at(result, (), partial(self._add, bias))
        return result

    def _add(self, swap: ParamSwap, result: Tensor) -> Tensor:
        bias = swap.deferred_bias
        if result.ndim - 1 in self.sharded_dims or -1 in self.sharded_dims:
            bias = apply_redistribution(bias, _REPLICATED_TO_SHARD0, self.group)
        # In the dtype of the result, as the module itself would add it under autocast.
        return result + bias.to(result.dtype)
