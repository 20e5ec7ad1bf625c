"""A plan with all that it extends in it: there is little to change in one that only extends another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from planc.bind.binding import entry_patterns
from planc.ir.block_kinds import BLOCK_KINDS
from planc.ir.document import Document
from planc.ir.pattern import Pattern
from planc.ir.plan import Plan
from planc.resolve.diagnostic_sink import DiagnosticSink
from planc.resolve.extends import extends_chain
from tests.mutation.module_names import expand_let
from tests.mutation.record_edits import replace_fields


def flatten_extends(document: Document) -> Plan:
    """What a plan says together with the plans that it extends.

    Raises:
        ValueError: a plan of the chain cannot be read, or has faults.
    """
    faults = DiagnosticSink()
    documents = extends_chain(document, faults)
    diagnostics = [*document.diagnostics, *faults.diagnostics]
    if diagnostics:
        raise ValueError(f"{document.source.name}: {diagnostics[0].message}")
    *above, plan = [each.plan for each in documents]
    for own in reversed(above):
        plan = _merge_plan(plan, own)
    return plan


def _merge_plan(base: Plan, plan: Plan) -> Plan:
    lets = _merge_by_name(base.lets, plan.lets)
    return Plan(
        name=plan.name,
        model=plan.model or base.model,
        mesh=replace_fields(plan.mesh, override=False) if plan.mesh else base.mesh,
        options=_merge_by_name(base.options, plan.options),
        lets=lets,
        requires=base.requires + plan.requires,
        blocks=_merge_blocks(base.blocks, plan.blocks, Plan(lets=lets)),
    )


def _merge_by_name(base: Iterable[Any], own: Iterable[Any]) -> tuple[Any, ...]:
    """Declarations by name, those of the plan in the place of the base's."""
    found = {each.name: each for each in base} | {
        each.name: replace_fields(each, override=False) for each in own
    }
    return tuple(found.values())


def _merge_blocks(base: Iterable[Any], own: Iterable[Any], scope: Plan) -> tuple[Any, ...]:
    found = {_key(block): block for block in base}
    for block in own:
        known = found.get(_key(block))
        found[_key(block)] = block if known is None else _merge_block(known, block, scope)
    return tuple(found.values())


def _key(block: Any) -> tuple[str, str]:
    return block.kind, getattr(block, "axis", "")


def _merge_block(base: Any, own: Any, scope: Plan) -> Any:
    """The block of a plan over that of its base: one block of one kind and axis."""
    field = BLOCK_KINDS[own.kind].entries_field
    changed: dict[str, Any] = {field: _merge_entries(base, own, field, scope), "remove": ()}
    if hasattr(own, "settings"):
        changed["settings"] = _merge_by_name(base.settings, own.settings)
    if hasattr(own, "loss"):
        changed["loss"] = replace_fields(own.loss, override=False) if own.loss else base.loss
    if hasattr(own, "replicate"):
        changed["replicate"] = own.replicate or base.replicate
    return replace_fields(base, **changed)


def _merge_entries(base: Any, own: Any, field: str, scope: Plan) -> tuple[Any, ...]:
    """The entries of the base that are neither removed nor overridden by their whole pattern, then the
    plan's own; `override` stays where it may be needed still, for other patterns that meet."""

    def meant(entry: Any) -> tuple[Pattern, ...]:
        return tuple(expand_let(pattern, scope) for pattern in entry_patterns(entry))

    removed = {expand_let(pattern, scope) for pattern in own.remove}
    overridden = {meant(entry) for entry in getattr(own, field) if entry.override}
    there = {meant(entry) for entry in getattr(base, field)}
    kept = [
        entry
        for entry in getattr(base, field)
        if removed.isdisjoint(meant(entry)) and meant(entry) not in overridden
    ]
    fresh = [
        replace_fields(entry, override=False) if entry.override and meant(entry) in there else entry
        for entry in getattr(own, field)
    ]
    return (*kept, *fresh)
