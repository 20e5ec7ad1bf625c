"""`fsdp AXIS [replicate AXIS] { ... }`: FSDP2, and with a second axis HSDP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from planc.blocks.lines import Line, only, read_entries, rest, write_removes
from planc.blocks.settings import Setting, fault_of_blanks, read_settings, write_settings
from planc.ir.expr import Expr, show
from planc.ir.node import Node, group, values
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.ir.scalar import NotEmpty, Number, Word
from planc.near import nearest

if TYPE_CHECKING:
    from planc.text.reader import Call, Reader

DTYPES = ("bf16", "fp16", "fp32")
SETTINGS: dict[str, tuple[str | bool, ...]] = {
    "params": DTYPES,  # dtype in which parameters are gathered and used
    "reduce": DTYPES,  # dtype in which gradients are reduced
    "output": DTYPES,  # dtype of what a unit gives
    "offload": ("cpu", "none"),  # where shards rest between uses
}
"""Settings of a block, and the values that each takes (torch's MixedPrecisionPolicy
and OffloadPolicy)."""


class Unit(Record):
    """Modules that FSDP2 shards and gathers together: one `fully_shard` call."""

    patterns: Annotated[tuple[Pattern, ...], NotEmpty()]
    reshard: bool | Number | None = None
    """After the forward pass: false keeps it gathered, a number reshards to so many ranks."""
    when: Expr | None = None
    """Where this is false, the unit is not there."""
    override: bool = False
    """Take the place of an earlier unit of the same modules."""


class FsdpBlock(Record):
    """FSDP2 on one axis; with `replicate`, HSDP."""

    axis: Word
    replicate: Word | None = None
    """The axis over which the shards are replicated."""
    settings: tuple[Setting, ...] = ()
    units: tuple[Unit, ...] = ()
    remove: tuple[Pattern, ...] = ()
    """Units of the extended plan to drop, by their pattern."""
    kind: Literal["fsdp"] = "fsdp"


# ---- text to records ---------------------------------------------------------


def read(branch: Any, reader: Reader) -> Node[FsdpBlock]:
    axis = reader.name(branch.children[0])
    over = branch.children[1].children
    replicate = reader.name(over[0]) if over else None
    entries = read_entries(branch, reader, {"unit": _unit, "settings": read_settings})
    settings = [node for line in entries["settings"] for node in line.value]
    units, remove = entries["unit"], entries["remove"]
    block = FsdpBlock(
        axis.value,
        replicate.value if replicate else None,
        values(settings),
        values(units),
        values(remove),
    )
    parts = {
        "axis": axis,
        "settings": group(settings),
        "units": group(units),
        "remove": group(remove),
    }
    return Node(block, branch, parts | ({"replicate": replicate} if replicate else {}))


def _unit(branch: Any, reader: Reader, override: bool) -> Node[Unit] | None:
    *heads, tail = branch.children
    patterns = [reader.pattern(h) for h in heads if not hasattr(h, "children")]
    calls = [reader.call(h) for h in heads if hasattr(h, "children")]
    slip = str(patterns[0].value) if patterns and patterns[0] else ""
    if calls and str(calls[0].name) in SETTINGS.get(slip, ()):
        reader.fault("S001", branch, "a setting has a colon after its name", "a unit and its modifier",
                     f"help: write {slip}: {calls[0].name}")  # fmt: skip
        return None
    reshard = _reshard(calls[0], reader) if calls else None
    for extra in calls[1:]:
        reader.fault("R304", extra.branch, "a unit takes one modifier", "", "needed: keep, or reshard(N)")
    when = reader.when(tail)
    known = [p for p in patterns if p is not None]
    for node in known:
        fault_of_blanks(node, SETTINGS, reader)
    if len(known) < len(patterns):
        return None
    parts: dict[str, Node[Any]] = {"patterns": group(known)}
    if when:
        parts["when"] = when
    if calls:
        parts["reshard"] = Node(reshard, calls[0].branch)
    return Node(Unit(values(known), reshard, when.value if when else None, override), branch, parts)


def _reshard(modifier: Call, reader: Reader) -> bool | int | None:
    name, items = str(modifier.name), modifier.items
    if name == "keep" and items is None:
        return False
    if name == "reshard" and items is not None and len(items) == 1 and items[0].key is None:
        value = items[0].value
        if getattr(value, "type", "") == "INT":
            return reader.integer(value)  # type: ignore[arg-type]
    if name in ("keep", "reshard"):
        needed = "keep" if name == "keep" else "reshard(N), N a number of ranks"
        reader.fault("R304", modifier.branch, f"'{name}' does not take this", "", f"needed: {needed}")
        return None
    meant = nearest(name, ("keep", "reshard"))
    hint = (f"help: did you mean '{meant}'?",) if meant else ()
    reader.fault("N105", modifier.name, f"'{name}' is no modifier of a unit", "",
                 "needed: keep, or reshard(N)", *hint)  # fmt: skip
    return None


def holding(records: Sequence[Record]) -> FsdpBlock:
    settings, units = only(records, Setting), only(records, Unit)
    return FsdpBlock("", None, settings, units, only(records, Pattern))


# ---- records to text ---------------------------------------------------------


def write(block: FsdpBlock) -> tuple[str, list[Line]]:
    lines = [*write_removes(block.remove), *write_settings(block.settings), *map(write_unit, block.units)]
    over = f" replicate {block.replicate}" if block.replicate else ""
    return f"fsdp {block.axis}{over}", lines


def write_unit(unit: Unit) -> Line:
    modifier = ""
    if unit.reshard is False:
        modifier = "keep"
    elif unit.reshard is not None:
        modifier = f"reshard({show(unit.reshard)})"
    patterns = " + ".join(map(str, unit.patterns))
    return Line((patterns, rest(modifier, when=unit.when)), unit.override)
