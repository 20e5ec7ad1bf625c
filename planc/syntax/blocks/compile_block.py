"""`compile { ... }`: `torch.compile`, one matched module at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from planc.ir.block_kinds import BLOCK_KINDS
from planc.ir.blocks import Compile, CompileBlock, Setting
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.syntax.blocks.block_codec import BlockCodec
from planc.syntax.blocks.block_settings import (
    decode_settings,
    encode_settings,
    report_missing_blank,
)
from planc.syntax.blocks.entries import EntryLine, decode_entries, encode_removes, last_cell, records_of
from planc.syntax.spanned import Spanned, spanned_items, spanned_values

if TYPE_CHECKING:
    from planc.syntax.tree_reader import TreeReader

GRAMMAR = r"""
// compile { block }
compile: _COMPILE LBRACE _targets RBRACE
_targets: _target? | _targets _NEWLINE _target?
_target: region | settings | override_target | remove
override_target: _OVERRIDE (region | settings)

_COMPILE.2: /compile\b/
"""


def decode_compile(tree: Any, reader: TreeReader) -> Spanned[CompileBlock]:
    """The block in a syntax tree, with the spans of its parts."""
    entries = decode_entries(tree, reader, {"region": _target, "settings": decode_settings})
    settings = [node for line in entries["settings"] for node in line.value]
    targets, remove = entries["region"], entries["remove"]
    fields = {
        "settings": spanned_items(settings),
        "targets": spanned_items(targets),
        "remove": spanned_items(remove),
    }
    return Spanned(
        CompileBlock(spanned_values(settings), spanned_values(targets), spanned_values(remove)), tree, fields
    )


def _target(tree: Any, reader: TreeReader, override: bool) -> Spanned[Compile] | None:
    pattern = reader.pattern(tree.children[0])
    when = reader.when(tree.children[-1])
    for extra in tree.children[1:-1]:
        reader.report("R304", extra, "a line of 'compile' takes only a pattern")
    if pattern is None:
        return None
    report_missing_blank(pattern, BLOCK_KINDS["compile"].settings, reader)
    fields: dict[str, Spanned[Any]] = {"pattern": pattern} | ({"when": when} if when else {})
    return Spanned(Compile(pattern.value, when.value if when else None, override), tree, fields)


def compile_from_records(records: Sequence[Record]) -> CompileBlock:
    """A block that holds some records, each in its field."""
    return CompileBlock(
        records_of(records, Setting), records_of(records, Compile), records_of(records, Pattern)
    )


def encode_compile(block: CompileBlock) -> tuple[str, list[EntryLine]]:
    """The first line of the block, and the lines of its entries."""
    lines = [
        *encode_removes(block.remove),
        *encode_settings(block.settings),
        *map(encode_target, block.targets),
    ]
    return "compile", lines


def encode_target(target: Compile) -> EntryLine:
    """The line of a target."""
    return EntryLine((str(target.pattern), last_cell(when=target.when)), target.override)


CODEC = BlockCodec(GRAMMAR, decode_compile, encode_compile, compile_from_records)
