"""What modules are told on one tensor axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from planc.ir.graph import Call, Op, Weight
from planc.ir.lowered import Kind, Lay, LoweredAxis, LoweredModule, Part, Pass
from planc.layouts.logits import logits_of
from planc.layouts.outcome import Outcome, joined
from planc.layouts.ports import parameters
from planc.layouts.prove import AxisProof
from planc.layouts.types import (
    CONSTANT,
    INVARIANT,
    LATE,
    PARTIAL,
    REPLICATED,
    Packed,
    Split,
    Type,
    cut_dim,
)
from planc.layouts.weights import Weights
from planc.lower.beside import Regions, beside
from planc.resolve.bind import Binding, Bound

_KINDS: Mapping[Type, Kind] = {
    INVARIANT: "invariant", REPLICATED: "replicated", CONSTANT: "constant", PARTIAL: "partial",
}  # fmt: skip


class NotLowered(Exception):
    """A proved plan that cannot be applied; the message says why."""


def lower_axis(binding: Binding, proof: AxisProof, block: int, regions: Regions) -> LoweredAxis:
    """What a proof on one axis tells every module.


    Raises:
        NotLowered: a module is called in two ways that its boundary cannot tell apart, or its
            boundary would change a parameter.
    """
    weights = Weights(binding, block, proof.ranks)
    calls = list(proof.outcome.walk())
    passages = _passages(calls)
    _refuse_parameters(binding, passages)
    summed = _summed(binding, calls)
    drawn = _drawn(calls)
    uses = _uses(binding)
    told: dict[str, LoweredModule] = {}
    for name, bound in binding.root.walk():
        module = LoweredModule(
            inputs=passages.get((name, True), ()),
            outputs=passages.get((name, False), ()),
            parameters=_parameters(name, bound, weights, summed),
            attributes=_attributes(bound, weights),
            looks_up=_looks_up(bound, weights),
            uses=uses.get(name, ()),
            draws_apart=drawn.get(name, ()),
        )
        if module != LoweredModule():
            told[name] = module
    settings = {s.value.name: s.value.value for s in binding.settled.blocks[block].settings}
    rows = beside(binding.graph, told, regions) if settings.get("overlap") is True else {}
    loss = binding.settled.blocks[block].loss
    if loss is None:
        return LoweredAxis(proof.axis, told, None, beside=rows)
    found = logits_of(binding.graph.main)
    if found is None:
        raise NotLowered("it is not clear which of the model's results the loss is computed from")
    return LoweredAxis(proof.axis, told, loss.value.style, found[0], rows)


def _passages(calls: list[tuple[str, Outcome]]) -> dict[tuple[str, bool], tuple[Pass, ...]]:
    """What changes at the boundaries of each module; what is the same on both sides has to be so
    in every call."""
    found: dict[tuple[str, bool], dict[Any, Pass]] = {}
    for path, outcome in calls:
        for passage in outcome.passages:
            key = (joined(path, passage.module), passage.enters)
            said = Pass(passage.place, _lay(passage.before), _lay(passage.after))
            known = found.setdefault(key, {}).setdefault(passage.place, said)
            if _serves(said, known):
                found[key][passage.place] = said
            elif not _serves(known, said):
                raise NotLowered(f"{key[0] or 'the model'} is called in two ways that differ at its boundary")
    changed = {key: [p for p in passes.values() if p.before != p.after] for key, passes in found.items()}
    return {key: tuple(passes) for key, passes in changed.items() if passes}


def _refuse_parameters(binding: Binding, passages: Mapping[tuple[str, bool], tuple[Pass, ...]]) -> None:
    """Parameters pass no boundary in the proof; where one stands in the place of what another call
    of the module hands over or returns, its hooks would change it."""
    moved = {(key, said.place) for key, passes in passages.items() for said in passes}

    def visit(number: int, path: str) -> None:
        function = binding.graph.functions[number]
        found = [((path, False), place) for place in parameters(function.result)]
        for step in function.steps:
            if not isinstance(step, Op):
                below = joined(path, step.module)
                found += [((below, True), place) for place in parameters(step.arguments)]
                found += [((below, True), place) for place in parameters(step.keywords)]
                visit(step.function, below)
        for key, place in found:
            if (key, place) in moved:
                what = "is handed" if key[1] else "returns"
                name = key[0] or "the model"
                raise NotLowered(
                    f"{name} {what} a parameter in one call, and in another a tensor that its boundary changes"
                )

    if moved:
        visit(len(binding.graph.functions) - 1, "")


def _serves(done: Pass, meant: Pass) -> bool:
    """Whether what is done for one call is right for another: a sum in the backward pass alone does
    nothing to what has no gradient."""
    if meant.before == meant.after:
        sums = (done.before.kind, done.after.kind) == ("invariant", "replicated")
        return done.before == done.after or (sums and meant.after.kind == "constant")
    return done == meant


def _drawn(calls: list[tuple[str, Outcome]]) -> dict[str, tuple[bool, ...]]:
    """Of each call of a module that draws, whether it does so for split values; none where no
    module does. Those that draw for whole values count: they may be called by one that does not."""
    found: dict[str, list[bool]] = {}
    drawing = {path for path, outcome in calls if outcome.draws}
    for path, outcome in calls:
        if len(outcome.draws) > 1:
            raise NotLowered(
                f"{path or 'the model'} draws random numbers both for whole and for split values"
            )
        found.setdefault(path, []).append("apart" in outcome.draws)
    if not any(map(any, found.values())):
        return {}
    return {path: tuple(apart) for path, apart in found.items() if path in drawing}


def _lay(kind: Type) -> Lay:
    if isinstance(kind, Split | Packed):
        return Lay("shard", kind.dim)
    if kind not in _KINDS:
        raise NotLowered("a boundary is to make a change that cannot be made")
    return Lay(_KINDS[kind])


def _summed(binding: Binding, calls: list[tuple[str, Outcome]]) -> frozenset[str]:
    """The parameters whose gradients are summed, under all of their names."""
    found = {joined(path, name) for path, outcome in calls for name in outcome.sums}
    ties = [tie for tie in binding.graph.ties if found.intersection(tie)]
    return frozenset(found.union(*ties))


def _parameters(name: str, bound: Bound, weights: Weights, summed: frozenset[str]) -> Mapping[str, Part]:
    parts: dict[str, Part] = {}
    for own, kind in weights.of(bound).items():
        full = joined(name, own)
        part = Part(
            cut_dim(kind), kind.parts if isinstance(kind, Packed) else (), full in summed, kind is LATE
        )
        if part != Part(None):
            parts[own] = part
    return parts


def _attributes(bound: Bound, weights: Weights) -> Mapping[str, int]:
    """Numbers that differ from the whole model's."""
    own = {name: weights.attribute(bound, name, whole) for name, whole in bound.module.attributes.items()}
    return {name: int(own[name]) for name, whole in bound.module.attributes.items() if own[name] != whole}


def _looks_up(bound: Bound, weights: Weights) -> bool:
    placed = weights.rule(bound)
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
                visit(step.function, joined(path, step.module))

    visit(len(binding.graph.functions) - 1, "")
    return {path: tuple(names) for path, names in found.items()}


def _foreign(item: Any) -> Iterator[str]:
    """The parameters of other modules that steps compute with, or hand to a module that they call."""
    if isinstance(item, Weight):
        if "." in item.name or item.name.startswith("/"):
            yield item.name
    elif isinstance(item, Op | Call):
        yield from _foreign((item.arguments, *item.keywords.values()))
    elif isinstance(item, tuple | list):
        for part in item:
            yield from _foreign(part)
    elif isinstance(item, Mapping):
        yield from _foreign(list(item.values()))
