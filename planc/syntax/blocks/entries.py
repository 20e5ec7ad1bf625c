"""What codecs of blocks share: decoding entries, and the cells of a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from planc.ir.expr import Expr
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.syntax.spanned import Spanned

if TYPE_CHECKING:
    from planc.syntax.tree_reader import TreeReader

R = TypeVar("R", bound=Record)

EntryDecoder = Callable[[Any, "TreeReader", bool], "Spanned[Any] | None"]
"""Decodes one entry from its tree; the flag: `override` is written before it."""


class EntryLine(Record):
    """An entry of a block as text, in cells; the cells of a block form columns."""

    cells: tuple[str, ...]
    override: bool = False


def decode_entries(
    tree: Any, reader: TreeReader, kinds: dict[str, EntryDecoder]
) -> dict[str, list[Spanned[Any]]]:
    """The entries of a block, by the name of their rule in the grammar, and `remove`."""
    found: dict[str, list[Spanned[Any]]] = {kind: [] for kind in (*kinds, "remove")}
    for entry in tree.children:
        kind = getattr(entry, "data", "")
        override = kind.startswith("override")
        if override:
            entry = entry.children[0]
            kind = entry.data
        if kind == "remove":
            node: Spanned[Any] | None = reader.pattern(entry.children[0])
        elif kind in kinds:
            node = kinds[kind](entry, reader, override)
        else:
            continue
        if node is not None:
            found[kind].append(node)
    return found


def records_of(records: Iterable[Record], kind: type[R]) -> tuple[R, ...]:
    """The records of one type, in order."""
    return tuple([record for record in records if isinstance(record, kind)])


def encode_removes(patterns: Iterable[Pattern]) -> list[EntryLine]:
    """The lines of `remove`."""
    return [EntryLine((f"remove {pattern}",)) for pattern in patterns]


def format_call(name: str, arguments: Sequence[str]) -> str:
    """`name(a, b)`, or nothing where there are no arguments."""
    return f"{name}({', '.join(arguments)})" if arguments else ""


def last_cell(*texts: str, when: Expr | None = None) -> str:
    """The last cell of a line: its texts, and its condition."""
    condition = "" if when is None else f"when {when}"
    return "  ".join(text for text in (*texts, condition) if text)
