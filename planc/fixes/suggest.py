"""Changes of the plan that may mend what the proof found: one maker a law. They read the data of a
finding, never its sentence; planc tries each, and shows it only if it mends."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from planc.bind.binding import Binding, BoundModule
from planc.fixes.edit_plan import PlanEditor, label_after, layout_source
from planc.fixes.enclosing_boundary import enclose_in_boundary, share_gather
from planc.fixes.fact_names import fact_of_attribute
from planc.fixes.fsdp_units import suggest_unit
from planc.fixes.input_boundary import sum_input_gradient
from planc.fixes.recomputed_regions import suggest_region
from planc.ir.diagnostic import Edit, Fix, Label
from planc.ir.graph import Call
from planc.ir.layout import Partial
from planc.ir.resolved import Located
from planc.ir.styles import Style, loss_on_split_logits, style_with
from planc.proof.result import Finding, RegionFinding, RepeatedGather, Violation, join_module_path
from planc.proof.types import PARTIAL, SAME_ON_ALL_RANKS, Sharded, SpmdType, sharded_dim
from planc.proof.violations import (
    UNIT_LAWS,
    ArrivingLayout,
    FusedSlice,
    LayoutLaw,
    LiteralSize,
    ShardedWithFull,
    SliceBounds,
)


class FixContext:
    """A violation, the modules that have it, and the plan that a fix may edit."""

    def __init__(self, violation: Violation, finding: Finding, editor: PlanEditor) -> None:
        self.violation, self.modules, self.axis = violation, finding.modules, finding.axis.axis
        self.editor = editor
        self.bound: BoundModule | None = editor.binding.root.find_submodule(self.modules[0])
        self.origin_rule = violation.origin.rule if violation.origin is not None else None

    @property
    def operands(self) -> tuple[SpmdType, ...]:
        """The types of the operands of the operation that has the violation."""
        return self.violation.point.operands or ()

    def is_layer(self) -> bool:
        """Whether a style shards the weights of the module."""
        if self.bound is None:
            return False
        return style_with(splits_outputs=True).row_for(self.bound.module.classes) is not None

    def comes_from_split_outputs(self) -> bool:
        """Whether a style that splits output features, as colwise does, gave the value its layout."""
        style = self.origin_rule.value.style_row if self.origin_rule is not None else None
        return style is not None and style.splits_outputs

    def add_style(self, style: str, *names: str) -> Fix | None:
        """A rule for the modules that have the violation, or for others."""
        return self.editor.add_rules(self.editor.patterns_for(names or self.modules), style)


def suggest_fix(binding: Binding, finding: Finding | RegionFinding) -> Fix | None:
    """A change of the plan that may mend what the proof found on a tensor axis, in the units of FSDP, or in regions."""
    if isinstance(finding, RegionFinding):
        return suggest_region(binding, finding)
    if not finding.axis.splits_tensors:
        of_units = isinstance(finding.issue, Violation) and finding.issue.law in UNIT_LAWS
        return suggest_unit(binding, finding) if of_units else None
    editor = PlanEditor(binding, finding.axis.block.value)
    issue = finding.issue
    if not isinstance(issue, Violation):
        if not isinstance(issue.redundancy, RepeatedGather):
            return None
        return share_gather(issue, finding.modules[0], editor)
    maker = _MAKERS.get(issue.law)
    return None if maker is None else maker(FixContext(issue, finding, editor))


def _split_outputs() -> str:
    """The style that splits output features: colwise."""
    return style_with(splits_outputs=True, takes_parts=False).name


def _is_unpacked(rule: Located | None) -> bool:
    """Whether a rule splits output features that are not fused: colwise."""
    style: Style | None = rule.value.style_row if rule is not None else None
    return style is not None and style.splits_outputs and not style.takes_parts


def _reduces_output(rule: Located) -> bool:
    """Whether the outputs of a rule's modules are summed over the ranks: rowwise."""
    style: Style | None = rule.value.style_row
    return style is not None and style.reduces_output


def _replace_text(label: Label, text: str, message: str = "") -> Fix:
    """Write a text over another one."""
    return Fix(message or f"write '{text}'", (Edit(label.span, text),))


def _layout_text(spmd_type: SpmdType) -> str | None:
    """The layout of a type as a plan writes it; None: a plan cannot write it."""
    if isinstance(spmd_type, Sharded):
        return f"shard({spmd_type.dim})"
    if spmd_type is PARTIAL:
        return "partial"
    return "replicate" if spmd_type in SAME_ON_ALL_RANKS else None


def _fix_arriving_layout(context: FixContext) -> Fix | None:
    """The layout that arrives, in place of the declared one."""
    violation, cause = context.violation, context.violation.cause
    rule, field = violation.rule, violation.rule_field
    if rule is None or not field or not isinstance(cause, ArrivingLayout):
        return None
    layout = _layout_text(cause.type)
    if layout is None:
        return None
    arriving = context.editor.layout_name(layout)
    if field[0] in ("inputs", "outputs"):
        return _declare(rule.location.label("", *field, "before"), arriving)
    style: Style | None = rule.value.style_row
    if style is not None and style.reduces_output:
        # A rowwise module takes a sharded input: where none arrives, the module before it lacks its rule.
        return _shard_producers(context) if field[0] == "input" or arriving == "replicate" else None
    if _is_unpacked(rule) and context.comes_from_split_outputs() and rule.value.input is None:
        return _replace_text(rule.location.label("", "style"), style_with(reduces_output=True).name)
    if field[0] == "input":
        return _declare(rule.location.label("", "input"), arriving)
    if not _is_unpacked(rule) or field[0] != "style":
        return None
    return _gather_for_colwise(context, rule, arriving)


def _declare(label: Label, layout: str) -> Fix:
    return _replace_text(label, layout, f"say that '{layout}' arrives")


def _gather_for_colwise(context: FixContext, rule: Located, arriving: str) -> Fix | None:
    """One boundary around colwise modules that get the same sharded input, or the input of one of them."""
    parent = context.modules[0].rpartition(".")[0]
    if sum(module.rpartition(".")[0] == parent for module in context.modules) > 1:
        return enclose_in_boundary(context.editor, parent, f"{arriving} -> replicate")
    arrow = "" if rule.value.output is not None else " ->"
    return _replace_text(
        label_after(rule, "style"), f" {arriving}{arrow}", f"write '{rule.value.style} {arriving} ->'"
    )


def _fix_partial_gradient(context: FixContext) -> Fix | None:
    """A style for a module that has none, and uses its weights with a sharded value."""
    at_input = sum_input_gradient(context.editor, context.modules[0], context.violation)
    if at_input is not None:
        return at_input
    if context.violation.rule is not None or context.bound is None or not context.bound.module.parameters:
        return None
    if context.is_layer():
        return _fix_unstyled_layer(context)
    splits_sequence = any(sharded_dim(operand) == 1 for operand in context.operands)
    heads = context.comes_from_split_outputs()
    if splits_sequence and not heads:
        return context.add_style(style_with(splits_sequence=True).name)
    return context.add_style(style_with(follows_input=True).name)


def _fix_unstyled_layer(context: FixContext) -> Fix | None:
    """A style for a layer whose siblings have one, or for the head of a loss that takes sharded logits."""
    editor, first = context.editor, next(iter(context.operands), None)
    arriving = _layout_text(first) if isinstance(first, Sharded) else None
    if editor.block.loss is not None and arriving is not None and context.modules[0] == _last_module(context):
        return context.add_style(f"{_split_outputs()}  {editor.layout_name(arriving)} -> shard(-1)")
    parent = editor.binding.root.find_submodule(context.modules[0].rpartition(".")[0])
    rules = [] if parent is None else [editor.rule_of(child) for child in parent.children.values()]
    is_split = any(rule is not None and (_is_unpacked(rule) or _reduces_output(rule)) for rule in rules)
    return context.add_style(_split_outputs()) if is_split and arriving is None else None


def _last_module(context: FixContext) -> str:
    """The module that the model calls last."""
    steps = context.editor.binding.graph.main_function.steps
    return next((step.module for step in reversed(steps) if isinstance(step, Call)), "")


def _shard_producers(context: FixContext) -> Fix | None:
    """colwise for the layers before a rowwise one, if none of them has a rule."""
    root, layers = context.editor.binding.root, list[str]()
    split_inputs = [row.class_name for row in style_with(reduces_output=True).classes if row.input is None]
    for level in (1, 2):
        for module in context.modules:
            parent = ".".join(module.split(".")[:-level])
            for name, bound in (root.find_submodule(parent) or root).named_modules(parent) if parent else ():
                is_layer = not set(split_inputs).isdisjoint(bound.module.classes)
                if is_layer and context.editor.rule_of(bound) is None:
                    layers.append(name)
        if layers:
            return context.add_style(_split_outputs(), *dict.fromkeys(layers))
    return None


def _fix_incompatible_layouts(context: FixContext) -> Fix | None:
    """rowwise where a sharded input meets a full weight; colwise for a sibling that lacks it; a layout for a parameter
    of the module itself, as a table with a column for each head."""
    editor, origin = context.editor, context.violation.origin
    if (fix := _fix_own_parameter(context)) is not None:
        return fix
    if context.violation.rule is None and context.is_layer():
        output = editor.reduced_output(context.modules[0])
        return context.add_style(style_with(reduces_output=True).name + (f"  -> {output}" if output else ""))
    if origin is None or context.bound is None or not _is_unpacked(origin.rule):
        return None
    like = editor.binding.root.find_submodule(origin.module)
    missing = [
        join_module_path(module, name)
        for module in context.modules
        for name, child in (editor.binding.root.find_submodule(module) or context.bound).children.items()
        if like is not None and child.definition == like.definition
        and editor.rule_for_name(join_module_path(module, name)) is None
    ]  # fmt: skip
    return context.add_style(_split_outputs(), *missing) if missing else None


def _fix_own_parameter(context: FixContext) -> Fix | None:
    """`params(...)` for the one parameter of the module that has a dim of the size that is split elsewhere."""
    cause, rule, bound = context.violation.cause, context.violation.rule, context.bound
    if not isinstance(cause, ShardedWithFull) or bound is None or context.is_layer():
        return None
    dim = sharded_dim(cause.type)
    if dim is None or (rule is not None and rule.value.params):
        return None
    # The other operand may lack leading dims.
    sizes = cause.shape[dim::-1] if dim < len(cause.shape) else cause.shape[::-1]
    shapes = {name: info.shape for name, info in bound.module.parameters.items()}
    fitting = [
        [(name, shape.index(size)) for name, shape in shapes.items() if shape.count(size) == 1]
        for size in sizes
    ]
    found = next((each for each in fitting if each), [])
    if len(found) != 1:
        return None
    declaration = "params({}: shard({}))".format(*found[0])
    if rule is None:
        return context.add_style(declaration)
    return _replace_text(label_after(rule), f" {declaration}", f"add '{declaration}'")


def _fix_fused_projection(context: FixContext) -> Fix | None:
    """packed_colwise, with as many parts as the code takes."""
    cause, rule = context.violation.cause, context.origin_rule
    if not isinstance(cause, FusedSlice) or rule is None or not _is_unpacked(rule):
        return None
    part = cause.entries
    if part.start != 0 or part.step != 1 or part.stop < 1 or cause.size % part.stop:
        return None
    packed = style_with(splits_outputs=True, takes_parts=True).name
    return _replace_text(rule.location.label("", "style"), f"{packed}({cause.size // part.stop})")


def _fix_partial_value(context: FixContext) -> Fix | None:
    """The all-reduce, by the rule that leaves the value partial."""
    for rule in (context.origin_rule, context.violation.rule):
        if rule is not None and isinstance(rule.value.output, Partial):
            layout = _other_reduced_output(context, rule) or "replicate"
            return _replace_text(rule.location.label("", "output"), layout)
    return None


def _other_reduced_output(context: FixContext, rule: Located) -> str:
    """The output that another rule declares whose style reduces it."""
    for entry in context.editor.block.entries:
        if entry is not rule and _reduces_output(entry):
            layout = layout_source(entry, "output")
            if layout and not isinstance(entry.value.output, Partial):
                return layout
    return ""


def _fix_sharded_output(context: FixContext) -> Fix | None:
    """A loss that takes sharded logits."""
    rule = context.origin_rule
    if context.editor.block.loss is not None or not _is_unpacked(rule):
        return None
    return context.editor.append_line(f"loss  {loss_on_split_logits().name}")


def _fix_loss_input(context: FixContext) -> Fix | None:
    """Sharded logits, by the head that computes them."""
    rule = context.origin_rule
    if rule is not None and _is_unpacked(rule) and rule.value.output is not None:
        return _replace_text(rule.location.label("", "output"), "shard(-1)")
    head = _last_module(context)
    if not head or context.editor.rule_for_name(head) is not None:
        return None
    return context.add_style(_split_outputs(), head)


def _fix_literal_size(context: FixContext) -> Fix | None:
    """The module's local share of the attribute that its code reads."""
    number, rule = _literal(context.violation), context.violation.rule
    if number is None or context.bound is None:
        return None
    names = [name for name, value in context.bound.module.attributes.items() if value == number]
    if len(names) != 1:
        return None
    global_value = fact_of_attribute(names[0], number, context.editor.binding.graph.facts) or str(number)
    declaration = f"attributes({names[0]}: {global_value} // {context.axis})"
    if rule is None:
        return context.add_style(declaration)
    if rule.value.attributes:
        return None
    return _replace_text(label_after(rule), f" {declaration}", f"add '{declaration}'")


def _literal(violation: Violation) -> int | None:
    """The size that the code contains."""
    cause = violation.cause
    if isinstance(cause, LiteralSize):
        return cause.literal
    return cause.taken.stop if isinstance(cause, SliceBounds) and cause.taken.step == 1 else None


_MAKERS: Mapping[LayoutLaw, Callable[[FixContext], Fix | None]] = {
    "arrives": _fix_arriving_layout,
    "gradient": _fix_partial_gradient,
    "meet": _fix_incompatible_layouts,
    "cut-along": _fix_fused_projection,
    "partial": _fix_partial_value,
    "leaves": _fix_sharded_output,
    "loss-needs": _fix_loss_input,
    "size-written": _fix_literal_size,
}
