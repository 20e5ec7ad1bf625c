"""`planc fmt`: canonical text, with the comments and blank lines of the original.

Every statement is printed from what was read, in the order in which it stands. A
statement with comments inside its brackets keeps its lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from planc.blocks import KINDS
from planc.ir.document import Document
from planc.ir.node import Node
from planc.ir.plan import Plan
from planc.ir.record import Record
from planc.ir.source import Source
from planc.text import write
from planc.text.comments import Comments
from planc.text.reader import Reader
from planc.text.rows import Row, render
from planc.text.statements import read_plan
from planc.text.syntax import parse

_STATEMENTS: dict[str, Any] = {
    "name": write.name_row, "extends": write.extends_row, "model": write.model_row,
    "mesh": write.mesh_row, "options": write.option_row, "lets": write.let_row,
    "requires": write.require_row,
}  # fmt: skip


def format_plan(source: Source, plan: Node[Plan]) -> str:
    """The canonical text of a plan that was read without faults."""
    statements: list[tuple[int, str, Node[Any]]] = []
    for field, node in (plan.parts or {}).items():
        nodes = [node] if node.branch is not None else list((node.parts or {}).values())
        statements += [(each.span.start, field, each) for each in nodes]
    statements.sort(key=lambda statement: statement[0])
    comments = Comments(source, list(_pieces(statements)))
    rows: list[Row] = []
    at = 1
    for _, field, node in statements:
        first, last = comments.lines(node)
        rows += comments.between(at, first)
        if field == "blocks":
            rows += _block(comments, node, last)
        else:
            row = _STATEMENTS[field](node.value)
            rows.append(_printed(comments, row, node.span.start, node.span.end))
        at = last + 1
    rows += comments.between(at, source.line_count + 1)
    return render(_tidy(rows))


def _pieces(statements: list[tuple[int, str, Node[Any]]]) -> Iterator[tuple[int, int]]:
    """Everything that a comment may stand inside of or behind: statements, the braces of
    blocks, entries."""
    for _, field, node in statements:
        if field == "blocks":
            opening, closing = _brace(node), node.span.end
            yield opening, opening + 1
            yield closing - 1, closing
            for part in _entry_nodes(node):
                yield part.span.start, part.span.end
        else:
            yield node.span.start, node.span.end


def _printed(comments: Comments, row: Row, start: int, end: int) -> Row:
    """A row with its comment; as it was written where comments stand inside it."""
    comment = comments.behind(end)
    if comments.inside(start, end):
        return Row("raw", comments.raw(start, end), comment, row.inside)
    return Row(row.kind, row.cells, comment, row.inside)


def _block(comments: Comments, node: Node[Any], last: int) -> list[Row]:
    header, _ = KINDS[node.value.kind].write(node.value)
    opening = _brace(node)
    at = comments.line_of(opening) + 1
    rows: list[Row] = []
    for begin, end, row in _entries(comments, node):
        rows += comments.between(at, begin, inside=True)
        rows.append(row)
        at = max(at, end + 1)
    rows += comments.between(at, last, inside=True)
    closing = comments.behind(node.span.end)
    return write.framed(node.value.kind, header, _tidy(rows), comments.behind(opening + 1), closing)


def _brace(node: Node[Any]) -> int:
    """Where a block opens."""
    return int(next(t.start_pos for t in node.branch.children if getattr(t, "type", "") == "LBRACE"))


def _entry_nodes(node: Node[Any]) -> list[Node[Any]]:
    """The entries of a block, in order; settings of one line are several."""
    found: list[Node[Any]] = []
    for part in (node.parts or {}).values():
        each = [part] if part.branch is not None else (part.parts or {}).values()
        found += [n for n in each if isinstance(n.value, Record)]
    return sorted(found, key=lambda entry: entry.span.start)


def _entries(comments: Comments, node: Node[Any]) -> Iterator[tuple[int, int, Row]]:
    """The rows of the entries of a block, with their first and last line."""
    kind = KINDS[node.value.kind]
    for _, group in groupby(_entry_nodes(node), key=lambda entry: comments.lines(entry)[0]):
        same = list(group)
        lines = kind.write(kind.holding([each.value for each in same]))[1]
        if len(lines) == 1:  # one entry, or several that share a line, as settings do
            first, last = same[0].span.start, same[-1].span.end
            row = _printed(comments, write.entry_row(lines[0]), first, last)
            yield comments.line_of(first), comments.line_of(last), row
            continue
        for each, line in zip(same, lines, strict=True):
            start, end = each.span.start, each.span.end
            row = _printed(comments, write.entry_row(line), start, end)
            yield comments.line_of(start), comments.line_of(end), row


def _tidy(rows: list[Row]) -> list[Row]:
    """Blank lines one at a time, and none at the ends."""
    kept: list[Row] = []
    for row in rows:
        if row.kind == "blank" and (not kept or kept[-1].kind == "blank"):
            continue
        kept.append(row)
    while kept and kept[-1].kind == "blank":
        kept.pop()
    return kept


def format_document(document: Document) -> str:
    """The canonical text of a document that was read from text without faults."""
    reader = Reader(document.source)
    node = read_plan(parse(document.source.text, _no_report), reader)
    return format_plan(document.source, node)


def _no_report(code: str, start: int, end: int, message: str, details: dict[str, str]) -> None:
    raise ValueError(f"{code} at {start}: {message}")
