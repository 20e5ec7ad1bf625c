"""What modules are told on one tensor axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from planc.bind.binding import Binding, BoundModule
from planc.ir.graph import Call, Op, WeightRef
from planc.ir.lowered import LocalKind, LocalLayout, LoweredAxis, LoweredChange, LoweredModule, LoweredParam
from planc.lower.overlapped_gathers import WrappedModules, overlapped_gathers
from planc.proof.boundary.ports import parameter_paths
from planc.proof.model_outputs import find_logits
from planc.proof.param_types import ParamTypes
from planc.proof.result import Analysis, AxisProof, join_module_path
from planc.proof.types import (
    CONSTANT,
    DEFERRED_BIAS,
    INVARIANT,
    PARTIAL,
    REPLICATED,
    PackedShard,
    Sharded,
    SpmdType,
    sharded_dim,
)

_KINDS: Mapping[SpmdType, LocalKind] = {
    INVARIANT: "invariant", REPLICATED: "replicated", CONSTANT: "constant", PARTIAL: "partial",
}  # fmt: skip


class LoweringError(Exception):
    """A proved plan that cannot be applied; the message says why."""


def lower_tensor_axis(binding: Binding, proof: AxisProof, block: int, wrapped: WrappedModules) -> LoweredAxis:
    """What a proof on one axis tells every module.


    Raises:
        NotLowered: a module is called in two ways that its boundary cannot tell apart, or its
            boundary would change a parameter.
    """
    weights = ParamTypes(binding, block, proof.ranks)
    calls = list(proof.analysis.walk())
    passages = _passages(calls)
    _refuse_parameters(binding, passages)
    summed = _summed(binding, calls)
    drawn = _drawn(calls)
    uses = _uses(binding)
    told: dict[str, LoweredModule] = {}
    for name, bound in binding.root.named_modules():
        module = LoweredModule(
            inputs=passages.get((name, True), ()),
            outputs=passages.get((name, False), ()),
            parameters=_parameters(name, bound, weights, summed),
            attributes=_attributes(bound, weights),
            masked_lookup=_looks_up(bound, weights),
            descendant_params=uses.get(name, ()),
            per_rank_rng=drawn.get(name, ()),
        )
        if module != LoweredModule():
            told[name] = module
    settings = {s.value.name: s.value.value for s in binding.resolved.blocks[block].settings}
    rows = overlapped_gathers(binding.graph, told, wrapped) if settings.get("overlap") is True else {}
    loss = binding.resolved.blocks[block].loss
    if loss is None:
        return LoweredAxis(proof.axis, told, None, overlapped_gathers=rows)
    found = find_logits(binding.graph.main_function)
    if found is None:
        raise LoweringError("it is not clear which of the model's results the loss is computed from")
    return LoweredAxis(proof.axis, told, loss.value.style, found[0], rows)


def _passages(calls: list[tuple[str, Analysis]]) -> dict[tuple[str, bool], tuple[LoweredChange, ...]]:
    """What changes at the boundaries of each module; what is the same on both sides has to be so
    in every call."""
    found: dict[tuple[str, bool], dict[Any, LoweredChange]] = {}
    for path, outcome in calls:
        for passage in outcome.boundary_changes:
            key = (join_module_path(path, passage.module), passage.is_input)
            said = LoweredChange(passage.path, _lay(passage.before), _lay(passage.after))
            known = found.setdefault(key, {}).setdefault(passage.path, said)
            if _serves(said, known):
                found[key][passage.path] = said
            elif not _serves(known, said):
                raise LoweringError(
                    f"{key[0] or 'the model'} is called in two ways that differ at its boundary"
                )
    changed = {key: [p for p in passes.values() if p.before != p.after] for key, passes in found.items()}
    return {key: tuple(passes) for key, passes in changed.items() if passes}


def _refuse_parameters(
    binding: Binding, passages: Mapping[tuple[str, bool], tuple[LoweredChange, ...]]
) -> None:
    """Parameters pass no boundary in the proof; where one stands in the place of what another call
    of the module hands over or returns, its hooks would change it."""
    moved = {(key, said.path) for key, passes in passages.items() for said in passes}

    def visit(number: int, path: str) -> None:
        function = binding.graph.functions[number]
        found = [((path, False), place) for place in parameter_paths(function.result)]
        for step in function.steps:
            if not isinstance(step, Op):
                below = join_module_path(path, step.module)
                found += [((below, True), place) for place in parameter_paths(step.arguments)]
                found += [((below, True), place) for place in parameter_paths(step.keywords)]
                visit(step.function, below)
        for key, place in found:
            if (key, place) in moved:
                what = "is handed" if key[1] else "returns"
                name = key[0] or "the model"
                raise LoweringError(
                    f"{name} {what} a parameter in one call, and in another a tensor that its boundary changes"
                )

    if moved:
        visit(len(binding.graph.functions) - 1, "")


def _serves(done: LoweredChange, meant: LoweredChange) -> bool:
    """Whether what is done for one call is right for another: a sum in the backward pass alone does
    nothing to what has no gradient."""
    if meant.before == meant.after:
        sums = (done.before.kind, done.after.kind) == ("invariant", "replicated")
        return done.before == done.after or (sums and meant.after.kind == "constant")
    return done == meant


def _drawn(calls: list[tuple[str, Analysis]]) -> dict[str, tuple[bool, ...]]:
    """Of each call of a module that draws, whether it does so for split values; none where no
    module does. Those that draw for whole values count: they may be called by one that does not."""
    found: dict[str, list[bool]] = {}
    drawing = {path for path, outcome in calls if outcome.rng_uses}
    for path, outcome in calls:
        if len(outcome.rng_uses) > 1:
            raise LoweringError(
                f"{path or 'the model'} draws random numbers both for whole and for split values"
            )
        found.setdefault(path, []).append("per rank" in outcome.rng_uses)
    if not any(map(any, found.values())):
        return {}
    return {path: tuple(apart) for path, apart in found.items() if path in drawing}


def _lay(kind: SpmdType) -> LocalLayout:
    if isinstance(kind, Sharded | PackedShard):
        return LocalLayout("shard", kind.dim)
    if kind not in _KINDS:
        raise LoweringError("a boundary is to make a change that cannot be made")
    return LocalLayout(_KINDS[kind])


def _summed(binding: Binding, calls: list[tuple[str, Analysis]]) -> frozenset[str]:
    """The parameters whose gradients are summed, under all of their names."""
    found = {join_module_path(path, name) for path, outcome in calls for name in outcome.summed_gradients}
    ties = [tie for tie in binding.graph.ties if found.intersection(tie)]
    return frozenset(found.union(*ties))


def _parameters(
    name: str, bound: BoundModule, weights: ParamTypes, summed: frozenset[str]
) -> Mapping[str, LoweredParam]:
    parts: dict[str, LoweredParam] = {}
    for own, kind in weights.types_of(bound).items():
        full = join_module_path(name, own)
        part = LoweredParam(
            sharded_dim(kind),
            kind.parts if isinstance(kind, PackedShard) else (),
            full in summed,
            kind is DEFERRED_BIAS,
        )
        if part != LoweredParam(None):
            parts[own] = part
    return parts


def _attributes(bound: BoundModule, weights: ParamTypes) -> Mapping[str, int]:
    """Numbers that differ from the whole model's."""
    own = {
        name: weights.local_attribute(bound, name, whole) for name, whole in bound.module.attributes.items()
    }
    return {name: int(own[name]) for name, whole in bound.module.attributes.items() if own[name] != whole}


def _looks_up(bound: BoundModule, weights: ParamTypes) -> bool:
    placed = weights.rule_of(bound)
    if placed is None or placed.value.style != "rowwise":
        return False
    return "Embedding" in (bound.module.class_name, *bound.module.bases)


def _uses(binding: Binding) -> dict[str, tuple[str, ...]]:
    """The parameters of other modules that the code of each module uses itself."""
    found: dict[str, dict[str, None]] = {}
    known: dict[int, tuple[str, ...]] = {}

    def visit(number: int, path: str) -> None:
        function = binding.graph.functions[number]
        if number not in known:
            known[number] = tuple(_foreign(function.steps))
        for name in known[number]:
            found.setdefault(path, {})[name] = None
        for step in function.steps:
            if not isinstance(step, Op):
                visit(step.function, join_module_path(path, step.module))

    visit(len(binding.graph.functions) - 1, "")
    return {path: tuple(names) for path, names in found.items()}


def _foreign(item: Any) -> Iterator[str]:
    """The parameters of other modules that steps compute with, or hand to a module that they call."""
    if isinstance(item, WeightRef):
        if "." in item.name or item.name.startswith("/"):
            yield item.name
    elif isinstance(item, Op | Call):
        yield from _foreign((item.arguments, *item.keywords.values()))
    elif isinstance(item, tuple | list):
        for part in item:
            yield from _foreign(part)
    elif isinstance(item, Mapping):
        yield from _foreign(list(item.values()))
