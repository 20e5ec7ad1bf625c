"""`recompute { ... }`: activation checkpointing, a region a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from planc.ir.blocks import Recompute, RecomputeBlock
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.syntax.blocks.block_codec import BlockCodec
from planc.syntax.blocks.entries import (
    EntryLine,
    decode_entries,
    encode_removes,
    format_call,
    last_cell,
    records_of,
)
from planc.syntax.spanned import Spanned, spanned_items, spanned_values

if TYPE_CHECKING:
    from planc.syntax.tree_reader import CallSyntax, TreeReader

GRAMMAR = r"""
// recompute { block  save(matmul) }
recompute: _RECOMPUTE LBRACE _regions RBRACE
_regions: _region? | _regions _NEWLINE _region?
_region: region | override_region | remove
override_region: _OVERRIDE region

_RECOMPUTE.2: /recompute\b/
"""


def decode_recompute(tree: Any, reader: TreeReader) -> Spanned[RecomputeBlock]:
    """The block in a syntax tree, with the spans of its parts."""
    entries = decode_entries(tree, reader, {"region": _region})
    regions, remove = entries["region"], entries["remove"]
    fields = {"regions": spanned_items(regions), "remove": spanned_items(remove)}
    return Spanned(RecomputeBlock(spanned_values(regions), spanned_values(remove)), tree, fields)


def _region(tree: Any, reader: TreeReader, override: bool) -> Spanned[Recompute] | None:
    pattern = reader.pattern(tree.children[0])
    calls = [reader.call(child) for child in tree.children[1:-1]]
    when = reader.when(tree.children[-1])
    for extra in calls[1:]:
        reader.report("R304", extra.tree, "a region takes one mode", "", "needed: full, or save(...)")
    if pattern is None:
        return None
    fields: dict[str, Spanned[Any]] = {"pattern": pattern}
    mode, save = None, []
    if calls:
        mode = str(calls[0].name)
        save = _saved(calls[0], reader)
        fields |= {"mode": reader.name(calls[0].name), "save": spanned_items(save)}
    if when:
        fields["when"] = when
    region = Recompute(pattern.value, mode, spanned_values(save), when.value if when else None, override)
    return Spanned(region, tree, fields)


def _saved(mode: CallSyntax, reader: TreeReader) -> list[Spanned[str]]:
    names = []
    for item in mode.arguments or ():
        value = item.value
        if item.key is None and item.after is None and getattr(value, "data", "") == "call":
            names.append(reader.name(value.children[0]))  # type: ignore[union-attr, arg-type]
        else:
            reader.report("R304", item.tree, f"'{mode.name}' takes names", "", "needed: as save(matmul)")
    return names


def recompute_from_records(records: Sequence[Record]) -> RecomputeBlock:
    """A block that holds some records, each in its field."""
    return RecomputeBlock(records_of(records, Recompute), records_of(records, Pattern))


def encode_recompute(block: RecomputeBlock) -> tuple[str, list[EntryLine]]:
    """The first line of the block, and the lines of its entries."""
    return "recompute", [*encode_removes(block.remove), *map(encode_region, block.regions)]


def encode_region(region: Recompute) -> EntryLine:
    """The line of a region."""
    mode = format_call(region.mode or "", region.save) or region.mode or ""
    return EntryLine((str(region.pattern), last_cell(mode, when=region.when)), region.override)


CODEC = BlockCodec(GRAMMAR, decode_recompute, encode_recompute, recompute_from_records)
