"""`fsdp AXIS [replicate AXIS] { ... }`: FSDP2, and with a second axis HSDP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from planc.closest import closest_match
from planc.ir.block_kinds import BLOCK_KINDS
from planc.ir.blocks import FsdpBlock, Setting, Unit
from planc.ir.expr import format_value
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.syntax.blocks.block_codec import BlockCodec
from planc.syntax.blocks.block_settings import decode_settings, encode_settings, report_missing_blank
from planc.syntax.blocks.entries import EntryLine, decode_entries, encode_removes, last_cell, records_of
from planc.syntax.spanned import Spanned, spanned_items, spanned_values

if TYPE_CHECKING:
    from planc.syntax.tree_reader import CallSyntax, TreeReader

GRAMMAR = r"""
// fsdp dp replicate pod { ... }
fsdp: _FSDP NAME replicate LBRACE _units RBRACE
replicate: (_REPLICATE NAME)?
_units: _unit? | _units _NEWLINE _unit?
_unit: unit | settings | override_unit | remove
override_unit: _OVERRIDE (unit | settings)

// model.norm + lm_head  keep
unit: PATTERN (_PLUS PATTERN)* call* when

_FSDP.2: /fsdp\b/
_REPLICATE.2: /replicate\b/
"""


# ---- text to records ---------------------------------------------------------


def decode_fsdp(tree: Any, reader: TreeReader) -> Spanned[FsdpBlock]:
    """The block in a syntax tree, with the spans of its parts."""
    axis = reader.name(tree.children[0])
    over = tree.children[1].children
    replicate = reader.name(over[0]) if over else None
    entries = decode_entries(tree, reader, {"unit": _unit, "settings": decode_settings})
    settings = [node for line in entries["settings"] for node in line.value]
    units, remove = entries["unit"], entries["remove"]
    block = FsdpBlock(
        axis.value,
        replicate.value if replicate else None,
        spanned_values(settings),
        spanned_values(units),
        spanned_values(remove),
    )
    fields = {
        "axis": axis,
        "settings": spanned_items(settings),
        "units": spanned_items(units),
        "remove": spanned_items(remove),
    }
    return Spanned(block, tree, fields | ({"replicate": replicate} if replicate else {}))


def _unit(tree: Any, reader: TreeReader, override: bool) -> Spanned[Unit] | None:
    *heads, tail = tree.children
    patterns = [reader.pattern(h) for h in heads if not hasattr(h, "children")]
    calls = [reader.call(h) for h in heads if hasattr(h, "children")]
    pattern_text = str(patterns[0].value) if patterns and patterns[0] else ""
    if calls and str(calls[0].name) in (BLOCK_KINDS["fsdp"].settings.get(pattern_text) or ()):
        reader.report("S001", tree, "a setting has a colon after its name", "a unit and its modifier",
                     f"help: write {pattern_text}: {calls[0].name}")  # fmt: skip
        return None
    reshard = _reshard(calls[0], reader) if calls else None
    for extra in calls[1:]:
        reader.report("R304", extra.tree, "a unit takes one modifier", "", "needed: keep, or reshard(N)")
    when = reader.when(tail)
    known = [p for p in patterns if p is not None]
    for node in known:
        report_missing_blank(node, BLOCK_KINDS["fsdp"].settings, reader)
    if len(known) < len(patterns):
        return None
    fields: dict[str, Spanned[Any]] = {"patterns": spanned_items(known)}
    if when:
        fields["when"] = when
    if calls:
        fields["reshard"] = Spanned(reshard, calls[0].tree)
    return Spanned(Unit(spanned_values(known), reshard, when.value if when else None, override), tree, fields)


def _reshard(modifier: CallSyntax, reader: TreeReader) -> bool | int | None:
    name, items = str(modifier.name), modifier.arguments
    if name == "keep" and items is None:
        return False
    if name == "reshard" and items is not None and len(items) == 1 and items[0].key is None:
        value = items[0].value
        if getattr(value, "type", "") == "INT":
            return reader.integer(value)  # type: ignore[arg-type]
    if name in ("keep", "reshard"):
        needed = "keep" if name == "keep" else "reshard(N), N a number of ranks"
        reader.report("R304", modifier.tree, f"'{name}' does not take this", "", f"needed: {needed}")
        return None
    meant = closest_match(name, ("keep", "reshard"))
    hint = (f"help: did you mean '{meant}'?",) if meant else ()
    reader.report("N105", modifier.name, f"'{name}' is not a modifier of a unit", "",
                 "needed: keep, or reshard(N)", *hint)  # fmt: skip
    return None


def fsdp_from_records(records: Sequence[Record]) -> FsdpBlock:
    """A block that holds some records, each in its field."""
    settings, units = records_of(records, Setting), records_of(records, Unit)
    return FsdpBlock("", None, settings, units, records_of(records, Pattern))


# ---- records to text ---------------------------------------------------------


def encode_fsdp(block: FsdpBlock) -> tuple[str, list[EntryLine]]:
    """The first line of the block, and the lines of its entries."""
    lines = [*encode_removes(block.remove), *encode_settings(block.settings), *map(encode_unit, block.units)]
    over = f" replicate {block.replicate}" if block.replicate else ""
    return f"fsdp {block.axis}{over}", lines


def encode_unit(unit: Unit) -> EntryLine:
    """The line of a unit."""
    modifier = ""
    if unit.reshard is False:
        modifier = "keep"
    elif unit.reshard is not None:
        modifier = f"reshard({format_value(unit.reshard)})"
    patterns = " + ".join(map(str, unit.patterns))
    return EntryLine((patterns, last_cell(modifier, when=unit.when)), unit.override)


CODEC = BlockCodec(GRAMMAR, decode_fsdp, encode_fsdp, fsdp_from_records)
