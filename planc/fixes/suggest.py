"""Changes of the plan that may mend a fault of layouts. Each is tried, and shown only if it does."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from planc.bind.binding import BoundModule
from planc.fixes.edit_plan import PlanEditor, label_after, layout_source
from planc.fixes.enclosing_boundary import enclose_in_boundary
from planc.ir.diagnostic import Edit, Fix, Label
from planc.ir.graph import Call
from planc.ir.layout import Partial
from planc.ir.resolved import Located
from planc.proof.result import Violation, join_module_path
from planc.proof.rules.dim_mapping import NEEDS_PACKED

_STYLED_CLASSES = ("Linear", "Conv1D", "Embedding")
_ENTRIES = re.compile(r"entries 0 to (\d+) of (\d+) are taken")
_SPLIT = re.compile(r"^\w+\((shard\(\d+\))")
_WRITTEN = re.compile(r"written out as (\d+)|takes entries \d+ to (\d+)$")


class FixContext:
    """A fault, and the modules that have it."""

    def __init__(self, fault: Violation, paths: Sequence[str], lines: PlanEditor, axis: str) -> None:
        self.violation, self.modules, self.editor, self.axis = fault, paths, lines, axis
        self.bound: BoundModule | None = lines.binding.root.find_submodule(paths[0])
        self.origin_rule = fault.origin.rule if fault.origin is not None else None

    @property
    def classes(self) -> tuple[str, ...]:
        return () if self.bound is None else (self.bound.module.class_name, *self.bound.module.bases)

    def is_layer(self) -> bool:
        """Whether a style splits the weights of the module."""
        return any(name in _STYLED_CLASSES for name in self.classes)

    def add_style(self, style: str, *names: str) -> Fix | None:
        """A rule for the modules that have the fault, or for others."""
        return self.editor.add_rules(self.editor.patterns_for(names or self.modules), style)


def suggest_fix(spot: FixContext) -> Fix | None:
    """What may mend a fault."""
    maker = _SUGGESTIONS.get(spot.violation.law)
    return None if maker is None else maker(spot)


def _replace_text(label: Label, text: str, message: str = "") -> Fix:
    """A text in the place of another."""
    return Fix(message or f"write '{text}'", (Edit(label.span, text),))


def _fix_arriving_layout(spot: FixContext) -> Fix | None:
    """The layout that arrives, in the place of the one that is declared."""
    rule, field = spot.violation.rule, spot.violation.rule_field
    if rule is None or field is None:
        return None
    steps = [int(step) if step.isdigit() else step for step in field.split("/")]
    arrived = spot.editor.layout_name(spot.violation.got.removesuffix(" arrives").partition(",")[0])
    said = f"say that '{arrived}' arrives"
    if steps[0] in ("inputs", "outputs"):
        return _replace_text(rule.location.label("", *steps, "before"), arrived, said)
    by_columns = spot.origin_rule is not None and str(spot.origin_rule.value.style).endswith("colwise")
    if rule.value.style == "colwise" and by_columns and rule.value.input is None:
        return _replace_text(rule.location.label("", "style"), "rowwise")
    if steps[0] == "input":
        # A rowwise module takes what is split: where nothing is, the module before it lacks its rule.
        return (
            _shard_producers(spot)
            if rule.value.style == "rowwise"
            else _replace_text(rule.location.label("", "input"), arrived, said)
        )
    if rule.value.style != "colwise" or steps[0] != "style":
        return _shard_producers(spot) if rule.value.style == "rowwise" and arrived == "replicate" else None
    above = spot.modules[0].rpartition(".")[0]
    if sum(path.rpartition(".")[0] == above for path in spot.modules) > 1:
        return enclose_in_boundary(spot.editor, above, f"{arrived} -> replicate")
    arrow = "" if rule.value.output is not None else " ->"
    return _replace_text(label_after(rule, "style"), f" {arrived}{arrow}", f"write 'colwise {arrived} ->'")


def _fix_partial_gradient(spot: FixContext) -> Fix | None:
    """A style for a module that has none, and whose weights are used on a part."""
    if spot.violation.rule is not None or spot.bound is None or not spot.bound.module.parameters:
        return None
    if spot.is_layer():
        return _fix_unstyled_layer(spot)
    heads = spot.origin_rule is not None and str(spot.origin_rule.value.style).endswith("colwise")
    return spot.add_style("replicate" if heads or "shard(1)" not in spot.violation.operation else "sequence")


def _fix_unstyled_layer(spot: FixContext) -> Fix | None:
    """A style for a layer whose neighbours have one, or for the head of a loss that takes split logits."""
    above = spot.editor.binding.root.find_submodule(spot.modules[0].rpartition(".")[0])
    arrived = _SPLIT.search(spot.violation.operation)
    if spot.editor.block.loss is not None and arrived is not None and spot.modules[0] == _last_module(spot):
        return spot.add_style(f"colwise  {spot.editor.layout_name(arrived[1])} -> shard(-1)")
    rules = [] if above is None else [spot.editor.rule_of(child) for child in above.children.values()]
    near = {rule.value.style for rule in rules if rule is not None} & {"colwise", "rowwise"}
    return spot.add_style("colwise") if near and arrived is None else None


def _last_module(spot: FixContext) -> str:
    """The module that is called last."""
    steps = spot.editor.binding.graph.main_function.steps
    return next((step.module for step in reversed(steps) if isinstance(step, Call)), "")


def _shard_producers(spot: FixContext) -> Fix | None:
    """colwise for the layers before a rowwise one, if none of them has a rule."""
    root, found = spot.editor.binding.root, list[str]()
    for level in (1, 2):
        for path in spot.modules:
            above = ".".join(path.split(".")[:-level])
            for name, bound in (root.find_submodule(above) or root).named_modules(above) if above else ():
                layer = {bound.module.class_name, *bound.module.bases} & {"Linear", "Conv1D"}
                if layer and spot.editor.rule_of(bound) is None:
                    found.append(name)
        if found:
            return spot.add_style("colwise", *dict.fromkeys(found))
    return None


def _fix_incompatible_layouts(spot: FixContext) -> Fix | None:
    """A rowwise rule where a split input meets a whole weight; a colwise one for what lacks it."""
    if spot.violation.rule is None and spot.is_layer():
        output = spot.editor.rowwise_output(spot.modules[0])
        return spot.add_style("rowwise" + (f"  -> {output}" if output else ""))
    origin = spot.violation.origin
    if origin is None or origin.rule is None or origin.rule.value.style != "colwise" or spot.bound is None:
        return None
    like = spot.editor.binding.root.find_submodule(origin.module)
    missing = [
        join_module_path(path, name)
        for path in spot.modules
        for name, child in (spot.editor.binding.root.find_submodule(path) or spot.bound).children.items()
        if like is not None and child.definition == like.definition
        and spot.editor.rule_for_name(join_module_path(path, name)) is None
    ]  # fmt: skip
    return spot.add_style("colwise", *missing) if missing else None


def _fix_fused_projection(spot: FixContext) -> Fix | None:
    """packed_colwise, with as many parts as the code takes."""
    found = _ENTRIES.match(spot.violation.got)
    if spot.violation.needed != NEEDS_PACKED or found is None or spot.origin_rule is None:
        return None
    part, size = int(found[1]), int(found[2])
    if spot.origin_rule.value.style != "colwise" or size % part:
        return None
    return _replace_text(spot.origin_rule.location.label("", "style"), f"packed_colwise({size // part})")


def _fix_partial_sum(spot: FixContext) -> Fix | None:
    """The sum, taken by the rule that leaves it."""
    for rule in (spot.origin_rule, spot.violation.rule):
        if rule is not None and isinstance(rule.value.output, Partial):
            said = _other_rowwise_output(spot, rule) or "replicate"
            return _replace_text(rule.location.label("", "output"), said)
    return None


def _other_rowwise_output(spot: FixContext, rule: Located) -> str:
    """What another rowwise rule says of its output."""
    for entry in spot.editor.block.entries:
        if entry is not rule and entry.value.style == "rowwise":
            said = layout_source(entry, "output")
            if said and not isinstance(entry.value.output, Partial):
                return said
    return ""


def _fix_sharded_output(spot: FixContext) -> Fix | None:
    """A loss that takes split logits."""
    if (
        spot.editor.block.loss is not None
        or spot.origin_rule is None
        or spot.origin_rule.value.style != "colwise"
    ):
        return None
    return spot.editor.append_line("loss  vocab_parallel")


def _fix_loss_input(spot: FixContext) -> Fix | None:
    """Logits that stay split: the head that makes them."""
    rule = spot.origin_rule
    if rule is not None and rule.value.style == "colwise" and rule.value.output is not None:
        return _replace_text(rule.location.label("", "output"), "shard(-1)")
    head = _last_module(spot)
    return spot.add_style("colwise", head) if head and spot.editor.rule_for_name(head) is None else None


def _fix_literal_size(spot: FixContext) -> Fix | None:
    """The module's own share of a number that its code reads."""
    found = _WRITTEN.search(spot.violation.got)
    if found is None or spot.bound is None:
        return None
    number = int(found[1] or found[2])
    names = [name for name, value in spot.bound.module.attributes.items() if value == number]
    if len(names) != 1:
        return None
    facts = spot.editor.binding.graph.facts
    whole = names[0] if facts.get(names[0]) == number else str(number)
    said = f"attributes({names[0]}: {whole} // {spot.axis})"
    if spot.violation.rule is None:
        return spot.add_style(said)
    if spot.violation.rule.value.attributes:
        return None
    return _replace_text(label_after(spot.violation.rule), f" {said}", f"add '{said}'")


_SUGGESTIONS: dict[str, Callable[[FixContext], Fix | None]] = {
    "arrives": _fix_arriving_layout,
    "gradient": _fix_partial_gradient,
    "meet": _fix_incompatible_layouts,
    "cut-along": _fix_fused_projection,
    "partial": _fix_partial_sum,
    "leaves": _fix_sharded_output,
    "loss-needs": _fix_loss_input,
    "size-written": _fix_literal_size,
}
