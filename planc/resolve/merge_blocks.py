"""Blocks: those of the base plans and the plan's own, as one; without let names."""

from __future__ import annotations

from typing import Any

from planc.closest import closest_match
from planc.ir.block_kinds import BLOCK_KINDS
from planc.ir.document import Document, PlanPath
from planc.ir.layout import Layout, LayoutRef
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.ir.resolved import Located, ResolvedBlock
from planc.resolve.declarations import add_declarations
from planc.resolve.diagnostic_sink import DiagnosticSink
from planc.resolve.scope import Scope


class _Draft:
    """A block while the plans of the chain add to it."""

    def __init__(self, block: Any, place: PlanPath) -> None:
        self.kind, self.place = block.kind, place
        self.axes = {
            f: Located(getattr(block, f), place.child(f)) for f in BLOCK_KINDS[block.kind].axis_fields
        }
        self.entries: list[Located] = []
        self.settings: dict[str, Located] = {}
        self.loss: dict[str, Located] = {}
        self.dormant: set[str] = set()
        """Keys of entries whose condition does not hold: there to be removed or overridden."""

    def settled(self) -> ResolvedBlock:
        axes = tuple(a for a in self.axes.values() if a.value is not None)
        settings = tuple(self.settings.values())
        return ResolvedBlock(
            self.kind, axes, tuple(self.entries), settings, self.loss.get("loss"), self.place
        )


def merge_blocks(
    documents: tuple[Document, ...], scope: Scope, faults: DiagnosticSink
) -> tuple[ResolvedBlock, ...]:
    """The blocks of a chain, base first; a block of one kind and axis is one block."""
    drafts: dict[tuple[str, str], _Draft] = {}
    for document in reversed(documents):
        own: dict[tuple[str, str], PlanPath] = {}
        for i, block in enumerate(document.plan.blocks):
            place = PlanPath(document, ("blocks", i))
            key = (block.kind, getattr(block, "axis", ""))
            if key in own:
                what = f"'{block.kind} {key[1]}'" if key[1] else f"'{block.kind}'"
                faults.report("R306", place.label("again"), f"there are two blocks {what}",
                           "help: write them as one", secondary=(own[key].label("first"),))  # fmt: skip
            own.setdefault(key, place)
            draft = drafts.get(key)
            if draft is None:
                draft = drafts[key] = _Draft(block, place)
            _add(draft, block, place, scope, faults)
    return tuple(draft.settled() for draft in drafts.values())


def _add(draft: _Draft, block: Any, place: PlanPath, scope: Scope, faults: DiagnosticSink) -> None:
    _add_axes(draft, place, block, faults)
    _remove(draft, block, place, scope, faults)
    field = BLOCK_KINDS[block.kind].entries_field
    fresh: list[Located] = []
    asleep: set[str] = set()
    for i, record in enumerate(getattr(block, field)):
        entry = _settle_entry(record, place.child(field, i), scope)
        if entry is not None:
            fresh.append(entry)
        else:
            asleep.update(_asleep(record, place.child(field, i), scope))
    draft.dormant |= asleep
    _drop_overridden(draft, fresh, faults)
    if settings := getattr(block, "settings", ()):
        placed = [Located(s, place.child("settings", i)) for i, s in enumerate(settings)]
        add_declarations(draft.settings, placed, "setting", faults)
    if loss := getattr(block, "loss", None):
        entry = _settle_entry(loss, place.child("loss"), scope)
        if entry is None:
            draft.dormant.add("loss")
        elif "loss" in draft.dormant and "loss" not in draft.loss:
            draft.loss["loss"] = entry
        else:
            add_declarations(draft.loss, [entry], "loss", faults)


def _add_axes(draft: _Draft, place: PlanPath, block: Any, faults: DiagnosticSink) -> None:
    """A plan may say what its base leaves open, not the contrary of what it says."""
    for field, known in draft.axes.items():
        said = getattr(block, field)
        if said is None or said == known.value:
            continue
        if known.value is not None:
            faults.report("N106", place.label(said, field), f"'{field}' of this block is given twice",
                       secondary=(known.location.label(known.value),))  # fmt: skip
        draft.axes[field] = Located(said, place.child(field))


def _remove(draft: _Draft, block: Any, place: PlanPath, scope: Scope, faults: DiagnosticSink) -> None:
    """Drop the entries of the base whose pattern the plan removes."""
    for i, pattern in enumerate(block.remove):
        settled = scope.expand_pattern(pattern, place.child("remove", i))
        if settled is None:
            continue
        kept = [e for e in draft.entries if str(settled) not in entry_keys(e.value)]
        if len(kept) == len(draft.entries) and str(settled) not in draft.dormant:
            parent = str(settled).rpartition(".")[0]
            beside = [k for e in draft.entries for k in entry_keys(e.value) if k.rpartition(".")[0] == parent]
            meant = closest_match(str(settled), beside)
            near = (f"help: did you mean '{meant}'?",) if meant else ()
            faults.report("R302", place.label("no such rule", "remove", i),
                       "no extended plan has a rule that this removes",
                       "needed: the full pattern of a rule there", *near)  # fmt: skip
        draft.entries = kept


def _drop_overridden(draft: _Draft, fresh: list[Located], faults: DiagnosticSink) -> None:
    """An entry with `override` takes the place of earlier ones with its pattern."""
    overriding = {entry_key(e.value): e for e in fresh if e.value.override}
    if overriding:
        if not draft.entries and not draft.dormant and fresh[0].value.override:
            faults.report("R307", fresh[0].location.label(), "this rule overrides nothing",
                       "needed: an earlier rule in this block", "help: leave out 'override'")  # fmt: skip
        draft.entries = [e for e in draft.entries if entry_key(e.value) not in overriding]
        at = {k: e.location for k, e in overriding.items()}
        position = {id(e): i for i, e in enumerate(fresh)}
        fresh = [
            e for e in fresh
            if e.value.override or entry_key(e.value) not in at
            or position[id(e)] > position[id(overriding[entry_key(e.value)])]
        ]  # fmt: skip
    draft.entries += fresh


def entry_key(entry: Any) -> str:
    """What two entries of a block share when they speak of the same modules."""
    return " + ".join(entry_keys(entry))


def entry_keys(entry: Any) -> tuple[str, ...]:
    """The patterns of an entry; naming one of them is enough to remove it."""
    return tuple(map(str, entry.named_patterns))


def _asleep(record: Any, place: PlanPath, scope: Scope) -> tuple[str, ...]:
    """The keys of an entry whose condition does not hold."""
    settled = _substitute(record, place, scope)
    return () if settled is None else entry_keys(settled)


def _settle_entry(record: Any, place: PlanPath, scope: Scope) -> Located | None:
    """The entry without let names, or None where its condition does not hold."""
    when = record.when
    if when is not None:
        holds = scope.evaluate_condition(when, place.child("when"))
        if holds is False:
            return None
        if holds:
            record = _with(record, when=None)
    settled = _substitute(record, place, scope)
    return None if settled is None else Located(settled, place)


def _substitute(record: Any, place: PlanPath, scope: Scope) -> Any:
    """The record with let names replaced in its patterns and layouts, at any depth."""
    changed: dict[str, Any] = {}
    for field, value in record.__dict__.items():
        if isinstance(value, Pattern):
            if not scope.starts_with_let(value):
                continue  # most are not, and a place for each would cost more than all the rest
            new: Any = scope.expand_pattern(value, place.child(field))
            if new is None:
                return None
        elif isinstance(value, LayoutRef):
            new = scope.expand_layout(value) or value
        elif isinstance(value, tuple) and value and isinstance(value[0], Record):
            new = tuple([_inner(v, place.child(field, i), scope) for i, v in enumerate(value)])
            if None in new:
                return None
        else:
            continue
        if new is not value and new != value:
            changed[field] = new
    return _with(record, **changed) if changed else record


def _inner(value: Any, place: PlanPath, scope: Scope) -> Any:
    if isinstance(value, Pattern):
        return scope.expand_pattern(value, place)
    if isinstance(value, Layout):
        return scope.expand_layout(value) or value
    return _substitute(value, place, scope)


def _with(record: Any, **changed: Any) -> Any:
    return type(record)(**{**record.__dict__, **changed})
