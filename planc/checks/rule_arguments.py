"""A line with missing, surplus or repeated arguments.

A rule has one style, or no style and at least one of inputs, outputs, params, buffers and attributes,
each at most once. Only a style has layouts around `->`. packed_colwise needs its parts: the
number of equal parts, or the size of each.

Wrong:

    mesh tp
    tensor tp {
        attn.qkv_proj  packed_colwise
    }

Right:

    mesh tp
    tensor tp {
        attn.qkv_proj  packed_colwise(q: 32, k: 8, v: 8)
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.checks.traversal import records_of_type
from planc.ir.blocks import RECOMPUTE_MODES, Recompute, Rule, Unit
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.document import PlanPath
from planc.ir.layout import LayoutRef
from planc.ir.plan import LayoutLet
from planc.ir.resolved import Resolved, Settings
from planc.syntax.blocks.tensor_block import RULE_CLAUSES


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    for let, location in records_of_type(resolved, LayoutLet):
        if (let.when is None) != (let.otherwise is None):
            yield diagnostic("R304", location.label(), "'when' and 'otherwise' need each other")
        elif let.when is None and isinstance(let.layout, LayoutRef):
            yield diagnostic("R304", location.label("", "layout"), "this let only renames another let",
                         f"help: use '{let.layout.name}' itself")  # fmt: skip
    for rule, location in records_of_type(resolved, Rule):
        yield from _check_style(rule, location)
        yield from _check_repeated(rule, location)
    for unit, location in records_of_type(resolved, Unit):
        if len(set(unit.patterns)) < len(unit.patterns):
            yield diagnostic("R304", location.label("", "patterns"), "a unit names a pattern twice")
        if unit.reshard is True or (
            unit.reshard is not False and unit.reshard is not None and unit.reshard < 1
        ):
            yield diagnostic("R304", location.label("", "reshard"), "a unit cannot reshard to this number of ranks",
                         "needed: keep, or reshard(N) with N of at least 1")  # fmt: skip
    yield from _check_reshard(resolved)
    for region, location in records_of_type(resolved, Recompute):
        if region.mode in (None, *RECOMPUTE_MODES) and (region.mode == "save") != bool(region.save):
            yield diagnostic("R304", location.label(), f"'{region.mode or 'full'}' does not go with these saved operations",
                         "needed: full, or save(...) with at least one name")  # fmt: skip
        if len(set(region.save)) < len(region.save):
            yield diagnostic("R304", location.label("", "save"), "a kind of operation is named twice")


def _check_reshard(resolved: Resolved) -> Iterator[Diagnostic]:
    """A unit can reshard to any number of ranks that divides the size of its axis."""
    for _, block in resolved.blocks_of(Unit):
        size = resolved.axis_sizes.get(block.axes[0].value)
        for unit in block.entries:
            ranks = unit.value.reshard
            if size is not None and type(ranks) is int and ranks > 0 and size % ranks:
                yield diagnostic("R304", unit.location.label(f"the axis has {size}", "reshard"),
                             f"{ranks} ranks do not divide the size of the axis", f"needed: a number that divides {size}")  # fmt: skip


def _check_style(rule: Rule, location: PlanPath) -> Iterator[Diagnostic]:
    if rule.style is None:
        if rule.parts or rule.input is not None or rule.output is not None:
            yield diagnostic("R304", location.label(), "only a style has layouts and parts",
                         "help: without a style, write inputs or outputs")  # fmt: skip
        elif not any(getattr(rule, clause) for clause in RULE_CLAUSES):
            yield diagnostic(
                "R304", location.label(), "this rule is empty", "needed: a style, or inputs(...)"
            )
        return
    style = rule.style_row
    if style is None:
        return
    if rule.input is not None and any(port.key == 0 for port in rule.inputs):
        yield diagnostic("R304", location.label("", "inputs"), "the first input has two layouts",
                     "needed: the layout before '->', or inputs(0: ...)")  # fmt: skip
    if not style.takes_parts and rule.parts:
        yield diagnostic("R304", location.label("", "parts", 0), f"{style.name} takes no arguments",
                     f"help: remove the brackets after '{style.name}'")  # fmt: skip
    if style.takes_parts and not rule.parts:
        yield diagnostic("R304", location.label("", "style"), f"{style.name} needs its parts",
                     f"needed: {style.name}(3), or {style.name}(q: 32, k: 8, v: 8)")  # fmt: skip


def _check_repeated(rule: Rule, location: PlanPath) -> Iterator[Diagnostic]:
    names_by_clause: tuple[tuple[str, list[object]], ...] = (
        ("parts", [p.name for p in rule.parts]),
        ("inputs", [p.key for p in rule.inputs]),
        ("outputs", [p.key for p in rule.outputs]),
        ("params", [p.name for p in rule.params]),
        ("buffers", [b.name for b in rule.buffers]),
        ("attributes", [a.name for a in rule.attributes]),
    )
    for field, names in names_by_clause:
        for i, name in enumerate(names):
            first = names.index(name)
            if first < i and name is not None:
                yield diagnostic("R304", location.label("the second", field, i), f"'{name}' occurs twice in {field}",
                             "help: remove one of them",
                             secondary=(location.label("the first", field, first),))  # fmt: skip
