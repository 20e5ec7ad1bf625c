"""FSDP's units: what each gathers and reduces in one pass.

As torch's `fully_shard` does it: a unit gathers its parameters before its forward pass, and
again before its backward pass if it has resharded them in between; it reduces their
gradients after its backward pass. Units that are kept do not reshard, and neither do outermost
ones of which the plan says nothing. Where a recomputed region runs a unit again, the gather of
that unit's backward pass only comes earlier: what is run in a backward pass is not resharded.
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding, BoundModule
from planc.forecast.collectives import Collective
from planc.forecast.mixed_precision import TORCH_DTYPES
from planc.ir.blocks import Unit
from planc.ir.graph import TensorInfo
from planc.ir.resolved import Located, ResolvedBlock
from planc.proof.param_types import ParamTypes
from planc.proof.result import Proof
from planc.proof.types import PackedShard, Sharded


def fsdp_collectives(binding: Binding, proof: Proof, number: int) -> Iterator[Collective]:
    """The collectives of the units of a block, by its number, those of the replicated axis of HSDP among them."""
    active = dict(binding.resolved.active_blocks_of(Unit))
    if number in active:
        ranks = binding.resolved.axis_sizes[active[number].axes[0].value]
        yield from _unit_collectives(binding, number, active[number], ranks)


def _unit_collectives(
    binding: Binding, number: int, block: ResolvedBlock, ranks: int | None
) -> Iterator[Collective]:
    settings = {setting.value.name: str(setting.value.value) for setting in block.settings}
    gathered = TORCH_DTYPES.get(settings.get("params", ""))
    reduced = TORCH_DTYPES.get(settings.get("reduce", ""))
    axis = block.axes[0].value
    for name, entry, outermost, infos in _groups(binding, number):
        own = infos[0].dtype if infos else "float32"
        infos = [_padded(info, ranks or 1) for info in infos]
        params = _bytes(infos, gathered)
        gradients = _bytes([info for info in infos if info.grad], reduced or gathered)
        where = name or "root"
        what = "parameters of the unit"
        # What one rank has alone is neither gathered nor scattered; over replicas it is summed.
        if ranks != 1:
            yield Collective("all_gather", axis, "forward", gathered or own, params, what, where, 1, entry)
        if ranks != 1 and _reshards(entry, outermost=outermost):
            yield Collective("all_gather", axis, "backward", gathered or own, params, what, where, 1, entry)
        if not gradients:
            continue
        if ranks != 1:
            yield Collective("reduce_scatter", axis, "backward", reduced or gathered or own, gradients,
                      "gradients of the unit", where, 1, entry)  # fmt: skip
        for other in block.axes[1:]:
            # What is left of the gradients on each rank of the first axis.
            yield Collective("all_reduce", other.value, "backward", reduced or gathered or own, gradients // (ranks or 1),
                      "sharded gradients of the unit", where, 1, entry)  # fmt: skip


def _reshards(entry: Located, *, outermost: bool) -> bool:
    """Whether a unit lets go of its parameters between its forward and its backward pass. Of one
    rank, `reshard(1)`, is as `keep`."""
    said = entry.value.reshard
    return not outermost if said is None else said is True or (said is not False and said != 1)


def _groups(binding: Binding, number: int) -> list[tuple[str, Located, bool, list[TensorInfo]]]:
    """Each unit, whether it lies in no other, and what one rank of the tensor axes holds of its
    parameters."""
    cuts = [
        ParamTypes(binding, b, size)
        for b, block in binding.resolved.tensor_blocks()
        if (size := _size(binding, block)) > 1
    ]
    tied = {name for tie in binding.graph.ties for name in tie[1:]}
    found: dict[object, tuple[str, Located, bool, list[TensorInfo]]] = {}

    def walk(name: str, bound: BoundModule, unit: object) -> None:
        entry = binding.entry_for(bound, number)
        if entry is not None:
            # Several patterns of one entry are one unit; one pattern makes a unit of each module.
            outermost = unit is None
            unit = id(entry) if len(entry.value.patterns) > 1 else name
            found.setdefault(unit, (name, entry, outermost, []))
        for own, info in bound.module.parameters.items():
            if unit in found and (f"{name}.{own}" if name else own) not in tied:
                found[unit][3].append(_share(bound, own, info, cuts))
        for own, child in bound.children.items():
            walk(f"{name}.{own}" if name else own, child, unit)

    walk("", binding.root, None)
    return [group for group in found.values() if group[3]]


def _share(bound: BoundModule, name: str, info: TensorInfo, cuts: list[ParamTypes]) -> TensorInfo:
    shape = list(info.shape)
    for weights in cuts:
        kind = weights.types_of(bound)[name]
        if isinstance(kind, Sharded | PackedShard):
            shape[kind.dim] //= weights.ranks
    return TensorInfo(tuple(shape), info.dtype, info.grad)


def _padded(info: TensorInfo, ranks: int) -> TensorInfo:
    """What is cut: the first dim that the ranks divide evenly, or the first one, filled up."""
    if not info.shape or any(size and size % ranks == 0 for size in info.shape):
        return info
    return TensorInfo((-(-info.shape[0] // ranks) * ranks, *info.shape[1:]), info.dtype, info.grad)


def _bytes(infos: list[TensorInfo], dtype: str | None) -> int:
    return sum(TensorInfo(info.shape, dtype or info.dtype).bytes for info in infos)


def _size(binding: Binding, block: ResolvedBlock) -> int:
    return {axis.name: axis.size or 1 for axis in binding.resolved.axes}[block.axes[0].value]
