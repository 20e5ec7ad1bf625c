"""`compile { ... }`: `torch.compile`, one matched module at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from planc.ir.expr import Expr
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.syntax.blocks.block_settings import (
    Setting,
    SettingValues,
    decode_settings,
    encode_settings,
    report_missing_blank,
)
from planc.syntax.blocks.entries import EntryLine, decode_entries, encode_removes, last_cell, records_of
from planc.syntax.spanned import Spanned, spanned_items, spanned_values

if TYPE_CHECKING:
    from planc.syntax.tree_reader import TreeReader


COMPILE_SETTINGS: SettingValues = {
    "mode": ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"),
    "backend": None,  # what compiles; which there are, only the torch at hand knows
    "dynamic": (True, False),  # whether sizes may change without compiling anew; by itself torch decides
    "fullgraph": (True, False),  # whether a module that is not one graph is an error
}
"""Settings of a block: arguments of `torch.compile`, and the values that each takes."""


class Compile(Record):
    """Modules that are compiled, each by itself."""

    pattern: Pattern
    when: Expr | None = None
    """Where this is false, the line is not there."""
    override: bool = False
    """Take the place of an earlier line for the modules that both name."""


class CompileBlock(Record):
    """`torch.compile`."""

    settings: tuple[Setting, ...] = ()
    targets: tuple[Compile, ...] = ()
    remove: tuple[Pattern, ...] = ()
    """Targets of the extended plan to drop, by their pattern."""
    kind: Literal["compile"] = "compile"


def decode_compile(branch: Any, reader: TreeReader) -> Spanned[CompileBlock]:
    entries = decode_entries(branch, reader, {"region": _target, "settings": decode_settings})
    settings = [node for line in entries["settings"] for node in line.value]
    targets, remove = entries["region"], entries["remove"]
    parts = {
        "settings": spanned_items(settings),
        "targets": spanned_items(targets),
        "remove": spanned_items(remove),
    }
    return Spanned(
        CompileBlock(spanned_values(settings), spanned_values(targets), spanned_values(remove)), branch, parts
    )


def _target(branch: Any, reader: TreeReader, override: bool) -> Spanned[Compile] | None:
    pattern = reader.pattern(branch.children[0])
    when = reader.when(branch.children[-1])
    for extra in branch.children[1:-1]:
        reader.report("R304", extra, "a line of 'compile' takes a pattern alone")
    if pattern is None:
        return None
    report_missing_blank(pattern, COMPILE_SETTINGS, reader)
    parts: dict[str, Spanned[Any]] = {"pattern": pattern} | ({"when": when} if when else {})
    return Spanned(Compile(pattern.value, when.value if when else None, override), branch, parts)


def compile_from_records(records: Sequence[Record]) -> CompileBlock:
    return CompileBlock(
        records_of(records, Setting), records_of(records, Compile), records_of(records, Pattern)
    )


def encode_compile(block: CompileBlock) -> tuple[str, list[EntryLine]]:
    lines = [
        *encode_removes(block.remove),
        *encode_settings(block.settings),
        *map(encode_target, block.targets),
    ]
    return "compile", lines


def encode_target(target: Compile) -> EntryLine:
    return EntryLine((str(target.pattern), last_cell(when=target.when)), target.override)
