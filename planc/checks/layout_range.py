"""A layout that a value cannot have at this place.

A dim lies between -64 and 63, since torch's tensors have at most 64 dims. Communication makes
no value partial: a value leaves a module as `partial` only if the module does not reduce its
sums, as `rowwise` with `-> partial`, or if it arrives as `partial`. A parameter is never
partial. If a module has a style and `inputs(0: ...)`, the style must accept the layout after
the `->`.

Wrong:

    mesh tp
    tensor tp {
        lm_head  colwise -> shard(100)
    }

Right:

    mesh tp
    tensor tp {
        lm_head  colwise -> shard(-1)
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.checks.traversal import records_of_type
from planc.ir.blocks import ParamLayout, Port, Rule
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.document import PlanPath
from planc.ir.layout import MAX_DIMS, Layout, LayoutRef, Partial, Shard
from planc.ir.resolved import Resolved, Settings


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    for shard, location in records_of_type(resolved, Shard):
        if not -MAX_DIMS <= shard.dim < MAX_DIMS:
            yield diagnostic("R303", location.label(), f"no tensor has a dim {shard.dim}",
                         f"needed: a dim from -{MAX_DIMS} to {MAX_DIMS - 1}")  # fmt: skip
        if shard.parts != 1 and (shard.parts < 1 or not _is_parameter(location)):
            yield diagnostic("R303", location.label(), f"this layout cannot have {shard.parts} parts",
                         "needed: at least 1 part, and only in params(...)")  # fmt: skip
    for port, location in records_of_type(resolved, Port):
        if _is_partial(port.after, resolved) and not _is_partial(port.before, resolved):
            yield diagnostic("R303", location.label("", "after"), "communication makes no value partial",
                         f"got: {port.before} -> {port.after}",
                         "needed: shard(DIM) or replicate after '->'")  # fmt: skip
    for param, location in records_of_type(resolved, ParamLayout):
        if _is_partial(param.layout, resolved):
            yield diagnostic("R303", location.label("", "layout"), f"parameter '{param.name}' cannot be partial",
                         "needed: shard(DIM) or replicate")  # fmt: skip
    for rule, location in records_of_type(resolved, Rule):
        yield from _check_style_input(rule, location, resolved)
        known = rule.style is None or rule.style_row is not None
        if (
            known
            and rule.output is not None
            and not _may_leave_partial(rule, resolved)
            and _is_partial(rule.output, resolved)
        ):
            yield diagnostic("R303", location.label("", "output"), f"the output of {rule.style} is never partial",
                         "needed: shard(DIM) or replicate after '->'")  # fmt: skip


def _is_parameter(location: PlanPath) -> bool:
    return len(location.path) > 2 and location.path[-3] == "params"


def _is_partial(layout: Layout, resolved: Resolved) -> bool:
    if isinstance(layout, LayoutRef):
        return isinstance(resolved.layouts.get(layout.name), Partial)
    return isinstance(layout, Partial)


def _check_style_input(rule: Rule, location: PlanPath, resolved: Resolved) -> Iterator[Diagnostic]:
    """`inputs(0: ...)` gives a module with a style another layout than the style takes. Two shards may be
    equal: without the model, planc does not know which dim -1 is."""
    style = rule.style_row
    if style is None or style.input is None:
        return
    for i, port in enumerate(rule.inputs):
        given = resolved.layouts.get(port.after.name) if isinstance(port.after, LayoutRef) else port.after
        if port.key == 0 and given is not None and type(given) is not type(style.input):
            yield diagnostic("R303", location.label(f"gives it {given}", "inputs", i, "after"),
                         f"{style.name} does not take this layout",
                         f"needed: {style.input}")  # fmt: skip


def _may_leave_partial(rule: Rule, resolved: Resolved) -> bool:
    """Whether the result of a module may be partial."""
    style = rule.style_row
    if style is None:
        return False
    passes_partial = rule.input is not None and _is_partial(rule.input, resolved)
    return style.reduces_output or (style.output is None and passes_partial)
