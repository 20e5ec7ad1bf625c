"""Changes of the plan that may mend a fault of layouts. Each is tried, and shown only if it does."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from planc.ir.diagnostic import Edit, Fix, Label
from planc.ir.graph import Call
from planc.ir.layout import Partial
from planc.ir.settled import Placed
from planc.layouts.around import around
from planc.layouts.lines import Lines, behind, written
from planc.layouts.moves import FUSED
from planc.layouts.outcome import Fault, joined
from planc.resolve.bind import Bound

_LAYERS = ("Linear", "Conv1D", "Embedding")
_ENTRIES = re.compile(r"entries 0 to (\d+) of (\d+) are taken")
_SPLIT = re.compile(r"^\w+\((shard\(\d+\))")
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
        return (
            _unsplit(spot)
            if rule.value.style == "rowwise"
            else _put(rule.place.label("", "input"), arrived, said)
        )
    if rule.value.style != "colwise" or steps[0] != "style":
        return _unsplit(spot) if rule.value.style == "rowwise" and arrived == "replicate" else None
    above = spot.paths[0].rpartition(".")[0]
    if sum(path.rpartition(".")[0] == above for path in spot.paths) > 1:
        return around(spot.lines, above, f"{arrived} -> replicate")
    arrow = "" if rule.value.output is not None else " ->"
    return _put(behind(rule, "style"), f" {arrived}{arrow}", f"write 'colwise {arrived} ->'")


def _gradient(spot: Spot) -> Fix | None:
    """A style for a module that has none, and whose weights are used on a part."""
    if spot.fault.rule is not None or spot.bound is None or not spot.bound.module.parameters:
        return None
    if spot.is_layer():
        return _layer(spot)
    heads = spot.origin is not None and str(spot.origin.value.style).endswith("colwise")
    return spot.styled("replicate" if heads or "shard(1)" not in spot.fault.operation else "sequence")


def _layer(spot: Spot) -> Fix | None:
    """A style for a layer whose neighbours have one, or for the head of a loss that takes split logits."""
    above = spot.lines.binding.root.below(spot.paths[0].rpartition(".")[0])
    arrived = _SPLIT.search(spot.fault.operation)
    if spot.lines.block.loss is not None and arrived is not None and spot.paths[0] == _head(spot):
        return spot.styled(f"colwise  {spot.lines.named(arrived[1])} -> shard(-1)")
    rules = [] if above is None else [spot.lines.entry(child) for child in above.children.values()]
    near = {rule.value.style for rule in rules if rule is not None} & {"colwise", "rowwise"}
    return spot.styled("colwise") if near and arrived is None else None


def _head(spot: Spot) -> str:
    """The module that is called last."""
    steps = spot.lines.binding.graph.main.steps
    return next((step.module for step in reversed(steps) if isinstance(step, Call)), "")


def _unsplit(spot: Spot) -> Fix | None:
    """colwise for the layers before a rowwise one, if none of them has a rule."""
    root, found = spot.lines.binding.root, list[str]()
    for level in (1, 2):
        for path in spot.paths:
            above = ".".join(path.split(".")[:-level])
            for name, bound in (root.below(above) or root).walk(above) if above else ():
                layer = {bound.module.class_name, *bound.module.bases} & {"Linear", "Conv1D"}
                if layer and spot.lines.entry(bound) is None:
                    found.append(name)
        if found:
            return spot.styled("colwise", *dict.fromkeys(found))
    return None


def _meet(spot: Spot) -> Fix | None:
    """A rowwise rule where a split input meets a whole weight; a colwise one for what lacks it."""
    if spot.fault.rule is None and spot.is_layer():
        output = spot.lines.output(spot.paths[0])
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
    head = _head(spot)
    return spot.styled("colwise", head) if head and spot.lines.rule(head) is None else None


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
