"""Changes of the plan that may mend a fault of layouts. Each is tried, and shown only if it does."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from planc.ir.diagnostic import Edit, Fix, Label
from planc.ir.graph import Call, ModelGraph, Value
from planc.ir.layout import Partial
from planc.ir.settled import Placed
from planc.layouts.lines import Lines, behind, starred, written
from planc.layouts.moves import FUSED
from planc.layouts.outcome import Fault, Waste, joined
from planc.resolve.bind import Bound

_LAYERS = ("Linear", "Conv1D", "Embedding")
_ENTRIES = re.compile(r"entries 0 to (\d+) of (\d+) are taken")
_WRITTEN = re.compile(r"written out as (\d+)|takes entries \d+ to (\d+)$")


class Spot:
    """A fault, and the modules that have it."""

    def __init__(self, fault: Fault, paths: Sequence[str], lines: Lines, axis: str) -> None:
        self.fault, self.paths, self.lines, self.axis = fault, paths, lines, axis
        self.bound: Bound | None = lines.binding.root.below(paths[0])
        self.origin = fault.origin.rule if fault.origin is not None else None

    @property
    def classes(self) -> tuple[str, ...]:
        return () if self.bound is None else (self.bound.module.class_name, *self.bound.module.bases)

    def is_layer(self) -> bool:
        """Whether a style splits the weights of the module."""
        return any(name in _LAYERS for name in self.classes)

    def styled(self, style: str, *names: str) -> Fix | None:
        """A rule for the modules that have the fault, or for others."""
        return self.lines.added(self.lines.patterns(names or self.paths), style)


def hint(spot: Spot) -> Fix | None:
    """What may mend a fault."""
    maker = _MAKERS.get(spot.fault.law)
    return None if maker is None else maker(spot)


def _put(label: Label, text: str, message: str = "") -> Fix:
    """A text in the place of another."""
    return Fix(message or f"write '{text}'", (Edit(label.span, text),))


def _arrives(spot: Spot) -> Fix | None:
    """The layout that arrives, in the place of the one that is declared."""
    rule, field = spot.fault.rule, spot.fault.field
    if rule is None or field is None:
        return None
    steps = [int(step) if step.isdigit() else step for step in field.split("/")]
    arrived = spot.lines.named(spot.fault.got.removesuffix(" arrives").partition(",")[0])
    said = f"say that '{arrived}' arrives"
    if steps[0] in ("inputs", "outputs"):
        return _put(rule.place.label("", *steps, "before"), arrived, said)
    by_columns = spot.origin is not None and str(spot.origin.value.style).endswith("colwise")
    if rule.value.style == "colwise" and by_columns and rule.value.input is None:
        return _put(rule.place.label("", "style"), "rowwise")
    if steps[0] == "input":
        # A rowwise module takes what is split: where nothing is, the module before it lacks its rule.
        return None if rule.value.style == "rowwise" else _put(rule.place.label("", "input"), arrived, said)
    if rule.value.style != "colwise" or steps[0] != "style":
        return None
    above = spot.paths[0].rpartition(".")[0]
    if sum(path.rpartition(".")[0] == above for path in spot.paths) > 1:
        return _around(spot.lines, above, f"{arrived} -> replicate")
    arrow = "" if rule.value.output is not None else " ->"
    return _put(behind(rule, "style"), f" {arrived}{arrow}", f"write 'colwise {arrived} ->'")


def _around(lines: Lines, module: str, change: str, *more: Edit) -> Fix | None:
    """A boundary around a module and all that are like it."""
    key = _first_port(lines.binding.graph, module)
    if not module or key is None or lines.rule(module) is not None:
        return None
    alike = [name for name in lines.binding.graph.names if starred(name) == starred(module)]
    return lines.added(lines.patterns(alike), f"inputs({key}: {change})", *more)


def _gradient(spot: Spot) -> Fix | None:
    """A style for a module that has none, and whose weights are used on a part."""
    if spot.fault.rule is not None or spot.bound is None or not spot.bound.module.parameters:
        return None
    if spot.is_layer():
        above = spot.paths[0].rpartition(".")[0]
        parent = spot.lines.binding.root.below(above)
        for name, child in parent.children.items() if parent is not None else ():
            rule = spot.lines.rule(joined(above, name))
            if child.module.class_name in spot.classes and rule is not None and rule.value.style == "colwise":
                return spot.styled("colwise")
        return None
    heads = spot.origin is not None and str(spot.origin.value.style).endswith("colwise")
    return spot.styled("replicate" if heads or "shard(1)" not in spot.fault.operation else "sequence")


def _meet(spot: Spot) -> Fix | None:
    """A rowwise rule where a split input meets a whole weight; a colwise one for what lacks it."""
    if spot.fault.rule is None and spot.is_layer():
        pattern = spot.lines.patterns(spot.paths)[0]
        output = spot.lines.output(pattern)
        return spot.styled("rowwise" + (f"  -> {output}" if output else ""))
    origin = spot.fault.origin
    if origin is None or origin.rule is None or origin.rule.value.style != "colwise" or spot.bound is None:
        return None
    like = spot.lines.binding.root.below(origin.module)
    missing = [
        joined(path, name)
        for path in spot.paths
        for name, child in (spot.lines.binding.root.below(path) or spot.bound).children.items()
        if like is not None and child.definition == like.definition
        and spot.lines.rule(joined(path, name)) is None
    ]  # fmt: skip
    return spot.styled("colwise", *missing) if missing else None


def _fused(spot: Spot) -> Fix | None:
    """packed_colwise, with as many parts as the code takes."""
    found = _ENTRIES.match(spot.fault.got)
    if spot.fault.needed != FUSED or found is None or spot.origin is None:
        return None
    part, size = int(found[1]), int(found[2])
    if spot.origin.value.style != "colwise" or size % part:
        return None
    return _put(spot.origin.place.label("", "style"), f"packed_colwise({size // part})")


def _partial(spot: Spot) -> Fix | None:
    """The sum, taken by the rule that leaves it."""
    for rule in (spot.origin, spot.fault.rule):
        if rule is not None and isinstance(rule.value.output, Partial):
            said = _other_output(spot, rule) or "replicate"
            return _put(rule.place.label("", "output"), said)
    return None


def _other_output(spot: Spot, rule: Placed) -> str:
    """What another rowwise rule says of its output."""
    for entry in spot.lines.block.entries:
        if entry is not rule and entry.value.style == "rowwise":
            said = written(entry, "output")
            if said and not isinstance(entry.value.output, Partial):
                return said
    return ""


def _leaves(spot: Spot) -> Fix | None:
    """A loss that takes split logits."""
    if spot.lines.block.loss is not None or spot.origin is None or spot.origin.value.style != "colwise":
        return None
    return spot.lines.last("loss  vocab_parallel")


def _loss(spot: Spot) -> Fix | None:
    """Logits that stay split: the head that makes them."""
    rule = spot.origin
    if rule is not None and rule.value.style == "colwise" and rule.value.output is not None:
        return _put(rule.place.label("", "output"), "shard(-1)")
    steps = spot.lines.binding.graph.main.steps
    head = next((step for step in reversed(steps) if isinstance(step, Call)), None)
    if head is None or spot.lines.rule(head.module) is not None:
        return None
    return spot.styled("colwise", head.module)


def _written(spot: Spot) -> Fix | None:
    """The module's own share of a number that its code reads."""
    found = _WRITTEN.search(spot.fault.got)
    if found is None or spot.bound is None:
        return None
    number = int(found[1] or found[2])
    names = [name for name, value in spot.bound.module.attributes.items() if value == number]
    if len(names) != 1:
        return None
    facts = spot.lines.binding.graph.facts
    whole = names[0] if facts.get(names[0]) == number else str(number)
    said = f"attributes({names[0]}: {whole} // {spot.axis})"
    if spot.fault.rule is None:
        return spot.styled(said)
    if spot.fault.rule.value.attributes:
        return None
    return _put(behind(spot.fault.rule), f" {said}", f"add '{said}'")


def once(waste: Waste, module: str, lines: Lines) -> Fix | None:
    """One boundary around the modules that each bring a value together."""
    rules = [rule for rule in (waste.rule, *waste.others) if rule is not None]
    said = {written(rule, "input") for rule in rules}
    if len(said) > 1:
        return None
    (arrives,) = said
    edits = [Edit(rule.place.label("", "input").span, "replicate") for rule in rules if arrives]
    return _around(lines, module.rpartition(".")[0], f"{arrives or 'replicate'} -> replicate", *edits)


def _first_port(graph: ModelGraph, module: str) -> str | int | None:
    """How a module gets its first tensor: a position or a keyword."""
    function, rest = graph.main, module
    while True:
        calls = [step for step in function.steps if isinstance(step, Call)]
        step = next((s for s in calls if rest == s.module or rest.startswith(f"{s.module}.")), None)
        if step is None:
            return None
        if rest == step.module:
            named: list[tuple[str | int, Any]] = [*enumerate(step.arguments), *step.keywords.items()]
            return next((key for key, item in named if isinstance(item, Value)), None)
        function, rest = graph.functions[step.function], rest[len(step.module) + 1 :]


_MAKERS: dict[str, Callable[[Spot], Fix | None]] = {
    "arrives": _arrives,
    "gradient": _gradient,
    "meet": _meet,
    "cut-along": _fused,
    "partial": _partial,
    "leaves": _leaves,
    "loss-needs": _loss,
    "size-written": _written,
}
