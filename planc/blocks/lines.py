"""What the blocks share: reading their entries, and the cells of a written line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from planc.ir.expr import Expr
from planc.ir.node import Node
from planc.ir.pattern import Pattern
from planc.ir.record import Record

if TYPE_CHECKING:
    from planc.text.reader import Reader

R = TypeVar("R", bound=Record)

Read = Callable[[Any, "Reader", bool], "Node[Any] | None"]
"""Reads one entry from its tree; the flag says that `override` stands before it."""


class Line(Record):
    """An entry of a block as text, in cells; the cells of a block form columns."""

    cells: tuple[str, ...]
    override: bool = False


def read_entries(branch: Any, reader: Reader, kinds: dict[str, Read]) -> dict[str, list[Node[Any]]]:
    """The entries of a block, by the name of their rule in the grammar, and `remove`."""
    found: dict[str, list[Node[Any]]] = {kind: [] for kind in (*kinds, "remove")}
    for entry in branch.children:
        kind = getattr(entry, "data", "")
        override = kind.startswith("override")
        if override:
            entry = entry.children[0]
            kind = entry.data
        if kind == "remove":
            node: Node[Any] | None = reader.pattern(entry.children[0])
        elif kind in kinds:
            node = kinds[kind](entry, reader, override)
        else:
            continue
        if node is not None:
            found[kind].append(node)
    return found


def only(records: Iterable[Record], kind: type[R]) -> tuple[R, ...]:
    """The records of one type, in order."""
    return tuple([record for record in records if isinstance(record, kind)])


def write_removes(patterns: Iterable[Pattern]) -> list[Line]:
    return [Line((f"remove {pattern}",)) for pattern in patterns]


def call(name: str, arguments: Sequence[str]) -> str:
    """`name(a, b)`, or nothing where there are no arguments."""
    return f"{name}({', '.join(arguments)})" if arguments else ""


def rest(*texts: str, when: Expr | None = None) -> str:
    """The last cell of a line: its texts, and its condition."""
    condition = "" if when is None else f"when {when}"
    return "  ".join(text for text in (*texts, condition) if text)
