"""The blocks of a plan merged with those of its base plans, with lets expanded."""

from __future__ import annotations

from typing import Any

from planc.closest import closest_match
from planc.ir.block_kinds import row_of
from planc.ir.document import Document, PlanPath
from planc.ir.layout import Layout, LayoutRef
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.ir.resolved import Located, ResolvedBlock
from planc.resolve.declarations import add_declarations
from planc.resolve.diagnostic_sink import DiagnosticSink
from planc.resolve.scope import Scope


class _MergedBlock:
    """A block while the plans of a chain add to it."""

    def __init__(self, block: Any, location: PlanPath) -> None:
        self.kind, self.location = block.kind, location
        self.axes = {
            field: Located(getattr(block, field), location.child(field))
            for field in row_of(block).axis_fields
        }
        self.entries: list[Located] = []
        self.settings: dict[str, Located] = {}
        self.loss: dict[str, Located] = {}
        self.inactive: set[str] = set()
        """Keys of entries whose condition is false: plans may still remove or override them."""

    def resolved(self) -> ResolvedBlock:
        """The block as all plans of the chain have it."""
        return ResolvedBlock(
            self.kind,
            tuple(axis for axis in self.axes.values() if axis.value is not None),
            tuple(self.entries),
            tuple(self.settings.values()),
            self.loss.get("loss"),
            self.location,
        )


def merge_blocks(
    documents: tuple[Document, ...], scope: Scope, sink: DiagnosticSink
) -> tuple[ResolvedBlock, ...]:
    """The blocks of a chain of plans, base first. Blocks of one kind and axis are merged."""
    merged: dict[tuple[str, str], _MergedBlock] = {}
    for document in reversed(documents):
        own: dict[tuple[str, str], PlanPath] = {}
        for i, block in enumerate(document.plan.blocks):
            location = PlanPath(document, ("blocks", i))
            key = (block.kind, getattr(block, "axis", ""))
            if key in own:
                name = f"'{block.kind} {key[1]}'" if key[1] else f"'{block.kind}'"
                sink.report("R306", location.label("again"), f"there are two blocks {name}",
                           "help: write them as one", secondary=(own[key].label("first"),))  # fmt: skip
            own.setdefault(key, location)
            target = merged.get(key)
            if target is None:
                target = merged[key] = _MergedBlock(block, location)
            _merge(target, block, location, scope, sink)
    return tuple(block.resolved() for block in merged.values())


def expand_accepts(accepts: tuple[Located, ...], scope: Scope) -> tuple[Located, ...]:
    """Accepted violations, with the lets in their patterns expanded; without those whose let has no value."""
    expanded = [Located(_expand_lets(each.value, each.location, scope), each.location) for each in accepts]
    return tuple(each for each in expanded if each.value is not None)


def _merge(target: _MergedBlock, block: Any, location: PlanPath, scope: Scope, sink: DiagnosticSink) -> None:
    """Add the block of one plan to those of its base plans."""
    _merge_axes(target, block, location, sink)
    _remove_entries(target, block, location, scope, sink)
    field = row_of(block).entries_field
    added: list[Located] = []
    for i, record in enumerate(getattr(block, field)):
        entry = _resolve_entry(record, location.child(field, i), scope)
        if entry is not None:
            added.append(entry)
        else:
            target.inactive.update(_inactive_keys(record, location.child(field, i), scope))
    _add_entries(target, added, sink)
    if settings := getattr(block, "settings", ()):
        located = [Located(setting, location.child("settings", i)) for i, setting in enumerate(settings)]
        add_declarations(target.settings, located, "setting", sink)
    if loss := getattr(block, "loss", None):
        _merge_loss(target, loss, location.child("loss"), scope, sink)


def _merge_axes(target: _MergedBlock, block: Any, location: PlanPath, sink: DiagnosticSink) -> None:
    """A plan may name an axis that its base leaves open, and no other than the one that its base names."""
    for field, known in target.axes.items():
        name = getattr(block, field)
        if name is None or name == known.value:
            continue
        if known.value is not None:
            sink.report("N106", location.label(name, field), f"'{field}' of this block is given twice",
                       secondary=(known.location.label(known.value),))  # fmt: skip
        target.axes[field] = Located(name, location.child(field))


def _merge_loss(
    target: _MergedBlock, loss: Any, location: PlanPath, scope: Scope, sink: DiagnosticSink
) -> None:
    entry = _resolve_entry(loss, location, scope)
    if entry is None:
        target.inactive.add("loss")
    elif "loss" in target.inactive and "loss" not in target.loss:
        target.loss["loss"] = entry
    else:
        add_declarations(target.loss, [entry], "loss", sink)


def _remove_entries(
    target: _MergedBlock, block: Any, location: PlanPath, scope: Scope, sink: DiagnosticSink
) -> None:
    """Drop the entries of base plans whose pattern the plan removes."""
    for i, written in enumerate(block.remove):
        pattern = scope.expand_pattern(written, location.child("remove", i))
        if pattern is None:
            continue
        key = str(pattern)
        kept = [entry for entry in target.entries if key not in entry_keys(entry.value)]
        if len(kept) == len(target.entries) and key not in target.inactive:
            parent = key.rpartition(".")[0]
            keys = [each for entry in target.entries for each in entry_keys(entry.value)]
            meant = closest_match(key, [each for each in keys if each.rpartition(".")[0] == parent])
            help_ = (f"help: did you mean '{meant}'?",) if meant else ()
            sink.report("R302", location.label("no such rule", "remove", i),
                       "no extended plan has a rule that this removes",
                       "needed: the full pattern of a rule there", *help_)  # fmt: skip
        target.entries = kept


def _add_entries(target: _MergedBlock, added: list[Located], sink: DiagnosticSink) -> None:
    """Add entries; one with `override` replaces earlier ones that have its patterns."""
    overriding = {entry_key(entry.value): i for i, entry in enumerate(added) if entry.value.override}
    if overriding and not target.entries and not target.inactive and added[0].value.override:
        sink.report("R307", added[0].location.label(), "this rule overrides nothing",
                   "needed: an earlier rule in this block", "help: leave out 'override'")  # fmt: skip
    target.entries = [entry for entry in target.entries if entry_key(entry.value) not in overriding]
    target.entries += [
        entry
        for i, entry in enumerate(added)
        if entry.value.override or i > overriding.get(entry_key(entry.value), -1)
    ]


def entry_key(entry: Any) -> str:
    """The same for two entries of a block that name the same modules."""
    return " + ".join(entry_keys(entry))


def entry_keys(entry: Any) -> tuple[str, ...]:
    """The patterns of an entry; `remove` with one of them removes it."""
    return tuple(map(str, entry.named_patterns))


def _inactive_keys(record: Any, location: PlanPath, scope: Scope) -> tuple[str, ...]:
    """The keys of an entry whose condition is false."""
    expanded = _expand_lets(record, location, scope)
    return () if expanded is None else entry_keys(expanded)


def _resolve_entry(record: Any, location: PlanPath, scope: Scope) -> Located | None:
    """The entry with its lets expanded, or None where its condition is false."""
    if record.when is not None:
        holds = scope.evaluate_condition(record.when, location.child("when"))
        if holds is False:
            return None
        if holds:
            record = record.with_(when=None)
    expanded = _expand_lets(record, location, scope)
    return None if expanded is None else Located(expanded, location)


def _expand_lets(record: Any, location: PlanPath, scope: Scope) -> Any:
    """The record with the lets in its patterns and layouts expanded, at any depth; None: one of them has no value."""
    changed: dict[str, Any] = {}
    for field, value in record.__dict__.items():
        if isinstance(value, Pattern):
            if not scope.starts_with_let(value):
                continue  # most do not, and a location for each would cost more than all the rest
            expanded: Any = scope.expand_pattern(value, location.child(field))
            if expanded is None:
                return None
        elif isinstance(value, LayoutRef):
            expanded = scope.expand_layout(value) or value
        elif isinstance(value, tuple) and value and isinstance(value[0], Record):
            expanded = tuple([_expand_item(v, location.child(field, i), scope) for i, v in enumerate(value)])
            if None in expanded:
                return None
        else:
            continue
        if expanded is not value and expanded != value:
            changed[field] = expanded
    return record.with_(**changed) if changed else record


def _expand_item(value: Any, location: PlanPath, scope: Scope) -> Any:
    if isinstance(value, Pattern):
        return scope.expand_pattern(value, location)
    if isinstance(value, Layout):
        return scope.expand_layout(value) or value
    return _expand_lets(value, location, scope)
