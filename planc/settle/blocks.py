"""Blocks: those of the base plans and the plan's own, as one; without let names."""

from __future__ import annotations

from typing import Any

from planc.blocks import KINDS
from planc.ir.document import Document, Place
from planc.ir.layout import Layout, Named
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.ir.settled import Placed, SettledBlock
from planc.near import nearest
from planc.settle.declarations import add_named
from planc.settle.faults import Faults
from planc.settle.lets import Scope


class _Draft:
    """A block while the plans of the chain add to it."""

    def __init__(self, block: Any, place: Place) -> None:
        self.kind, self.place = block.kind, place
        self.axes = {f: Placed(getattr(block, f), place.at(f)) for f in KINDS[block.kind].axes}
        self.entries: list[Placed] = []
        self.settings: dict[str, Placed] = {}
        self.loss: dict[str, Placed] = {}
        self.dormant: set[str] = set()
        """Keys of entries whose condition does not hold: there to be removed or overridden."""

    def settled(self) -> SettledBlock:
        axes = tuple(a for a in self.axes.values() if a.value is not None)
        settings = tuple(self.settings.values())
        return SettledBlock(self.kind, axes, tuple(self.entries), settings, self.loss.get("loss"), self.place)


def settle_blocks(documents: tuple[Document, ...], scope: Scope, faults: Faults) -> tuple[SettledBlock, ...]:
    """The blocks of a chain, base first; a block of one kind and axis is one block."""
    drafts: dict[tuple[str, str], _Draft] = {}
    for document in reversed(documents):
        own: dict[tuple[str, str], Place] = {}
        for i, block in enumerate(document.plan.blocks):
            place = Place(document, ("blocks", i))
            key = (block.kind, getattr(block, "axis", ""))
            if key in own:
                what = f"'{block.kind} {key[1]}'" if key[1] else f"'{block.kind}'"
                faults.add("R306", place.label("again"), f"there are two blocks {what}",
                           "help: write them as one", others=(own[key].label("first"),))  # fmt: skip
            own.setdefault(key, place)
            draft = drafts.get(key)
            if draft is None:
                draft = drafts[key] = _Draft(block, place)
            _add(draft, block, place, scope, faults)
    return tuple(draft.settled() for draft in drafts.values())


def _add(draft: _Draft, block: Any, place: Place, scope: Scope, faults: Faults) -> None:
    _add_axes(draft, place, block, faults)
    _remove(draft, block, place, scope, faults)
    field = KINDS[block.kind].entries
    fresh: list[Placed] = []
    asleep: set[str] = set()
    for i, record in enumerate(getattr(block, field)):
        entry = _settle_entry(record, place.at(field, i), scope)
        if entry is not None:
            fresh.append(entry)
        else:
            asleep.update(_asleep(record, place.at(field, i), scope))
    draft.dormant |= asleep
    _drop_overridden(draft, fresh, faults)
    if settings := getattr(block, "settings", ()):
        placed = [Placed(s, place.at("settings", i)) for i, s in enumerate(settings)]
        add_named(draft.settings, placed, "setting", faults)
    if loss := getattr(block, "loss", None):
        entry = _settle_entry(loss, place.at("loss"), scope)
        if entry is None:
            draft.dormant.add("loss")
        elif "loss" in draft.dormant and "loss" not in draft.loss:
            draft.loss["loss"] = entry
        else:
            add_named(draft.loss, [entry], "loss", faults)


def _add_axes(draft: _Draft, place: Place, block: Any, faults: Faults) -> None:
    """A plan may say what its base leaves open, not the contrary of what it says."""
    for field, known in draft.axes.items():
        said = getattr(block, field)
        if said is None or said == known.value:
            continue
        if known.value is not None:
            faults.add("N106", place.label(said, field), f"'{field}' of this block is said twice",
                       others=(known.place.label(known.value),))  # fmt: skip
        draft.axes[field] = Placed(said, place.at(field))


def _remove(draft: _Draft, block: Any, place: Place, scope: Scope, faults: Faults) -> None:
    """Drop the entries of the base whose pattern the plan removes."""
    for i, pattern in enumerate(block.remove):
        settled = scope.pattern(pattern, place.at("remove", i))
        if settled is None:
            continue
        kept = [e for e in draft.entries if str(settled) not in keys(e.value)]
        if len(kept) == len(draft.entries) and str(settled) not in draft.dormant:
            parent = str(settled).rpartition(".")[0]
            beside = [k for e in draft.entries for k in keys(e.value) if k.rpartition(".")[0] == parent]
            meant = nearest(str(settled), beside)
            near = (f"help: did you mean '{meant}'?",) if meant else ()
            faults.add("R302", place.label("no such rule", "remove", i),
                       "this removes no rule of an extended plan",
                       "needed: the pattern of a rule there, whole", *near)  # fmt: skip
        draft.entries = kept


def _drop_overridden(draft: _Draft, fresh: list[Placed], faults: Faults) -> None:
    """An entry with `override` takes the place of earlier ones with its pattern."""
    overriding = {key(e.value): e for e in fresh if e.value.override}
    if overriding:
        if not draft.entries and not draft.dormant and fresh[0].value.override:
            faults.add("R307", fresh[0].place.label(), "this rule overrides nothing",
                       "needed: an earlier rule in this block", "help: leave out 'override'")  # fmt: skip
        draft.entries = [e for e in draft.entries if key(e.value) not in overriding]
        at = {k: e.place for k, e in overriding.items()}
        position = {id(e): i for i, e in enumerate(fresh)}
        fresh = [
            e for e in fresh
            if e.value.override or key(e.value) not in at
            or position[id(e)] > position[id(overriding[key(e.value)])]
        ]  # fmt: skip
    draft.entries += fresh


def key(entry: Any) -> str:
    """What two entries of a block share when they speak of the same modules."""
    return " + ".join(keys(entry))


def keys(entry: Any) -> tuple[str, ...]:
    """The patterns of an entry; naming one of them is enough to remove it."""
    patterns = getattr(entry, "patterns", None)
    return (str(entry.pattern),) if patterns is None else tuple(map(str, patterns))


def _asleep(record: Any, place: Place, scope: Scope) -> tuple[str, ...]:
    """The keys of an entry whose condition does not hold."""
    settled = _substitute(record, place, scope)
    return () if settled is None else keys(settled)


def _settle_entry(record: Any, place: Place, scope: Scope) -> Placed | None:
    """The entry without let names, or None where its condition does not hold."""
    when = record.when
    if when is not None:
        holds = scope.decide(when, place.at("when"))
        if holds is False:
            return None
        if holds:
            record = _with(record, when=None)
    settled = _substitute(record, place, scope)
    return None if settled is None else Placed(settled, place)


def _substitute(record: Any, place: Place, scope: Scope) -> Any:
    """The record with let names replaced in its patterns and layouts, at any depth."""
    changed: dict[str, Any] = {}
    for field, value in record.__dict__.items():
        if isinstance(value, Pattern):
            if not scope.is_let(value):
                continue  # most are not, and a place for each would cost more than all the rest
            new: Any = scope.pattern(value, place.at(field))
            if new is None:
                return None
        elif isinstance(value, Named):
            new = scope.layout(value) or value
        elif isinstance(value, tuple) and value and isinstance(value[0], Record):
            new = tuple([_inner(v, place.at(field, i), scope) for i, v in enumerate(value)])
            if None in new:
                return None
        else:
            continue
        if new is not value and new != value:
            changed[field] = new
    return _with(record, **changed) if changed else record


def _inner(value: Any, place: Place, scope: Scope) -> Any:
    if isinstance(value, Pattern):
        return scope.pattern(value, place)
    if isinstance(value, Layout):
        return scope.layout(value) or value
    return _substitute(value, place, scope)


def _with(record: Any, **changed: Any) -> Any:
    return type(record)(**{**record.__dict__, **changed})
