"""`planc fmt`: canonical text, with the comments and blank lines of the original.

Every statement is printed from what was read, in the order in which it stands. A
statement with comments inside its brackets keeps its lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from planc.blocks import KINDS
from planc.blocks.compile import Compile, write_target
from planc.blocks.fsdp import Setting, Unit, write_settings, write_unit
from planc.blocks.lines import Line
from planc.blocks.recompute import Recompute, write_region
from planc.blocks.tensor import Loss, Rule, write_loss, write_rule
from planc.ir.document import Document
from planc.ir.node import Node
from planc.ir.pattern import Pattern
from planc.ir.plan import Plan
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
_ENTRIES: dict[type, Any] = {
    Rule: write_rule, Loss: write_loss, Unit: write_unit, Recompute: write_region,
    Compile: write_target, Pattern: lambda pattern: Line((f"remove {pattern}",)),
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
            rows += _block(comments, node, first, last)
        else:
            rows.append(_printed(comments, _STATEMENTS[field](node.value), node))
        at = last + 1
    rows += comments.between(at, source.line_count + 1)
    return render(_tidy(rows))


def _pieces(statements: list[tuple[int, str, Node[Any]]]) -> Iterator[tuple[int, int]]:
    """Everything that a comment may stand inside of or behind: statements, the braces of
    blocks, entries."""
    for _, field, node in statements:
        if field == "blocks":
            opening, closing = _brace(node, "LBRACE"), node.span.end
            yield opening, opening + 1
            yield closing - 1, closing
            for part in _entry_nodes(node):
                yield part.span.start, part.span.end
        else:
            yield node.span.start, node.span.end


def _printed(comments: Comments, row: Row, node: Node[Any]) -> Row:
    """A row with its comment; as it was written where comments stand inside it."""
    start, end = node.span.start, node.span.end
    comment = comments.behind(end)
    if comments.inside(start, end):
        return Row("raw", comments.raw(start, end), comment, row.inside)
    return Row(row.kind, row.cells, comment, row.inside)


def _block(comments: Comments, node: Node[Any], first: int, last: int) -> list[Row]:
    header, _ = KINDS[node.value.kind].write(node.value)
    opening = _brace(node, "LBRACE")
    at = comments.line_of(opening) + 1
    rows: list[Row] = []
    for begin, end, row in _entries(comments, node):
        rows += comments.between(at, begin, inside=True)
        rows.append(row)
        at = max(at, end + 1)
    rows += comments.between(at, last, inside=True)
    closing = comments.behind(node.span.end)
    return write.framed(node.value.kind, header, _tidy(rows), comments.behind(opening + 1), closing)


def _brace(node: Node[Any], kind: str) -> int:
    """Where a block opens."""
    return int(next(t.start_pos for t in node.branch.children if getattr(t, "type", "") == kind))


def _entry_nodes(node: Node[Any]) -> list[Node[Any]]:
    """The entries of a block, in order; settings of one line are several."""
    found: list[Node[Any]] = []
    for part in (node.parts or {}).values():
        each = [part] if part.branch is not None else (part.parts or {}).values()
        found += [n for n in each if type(n.value) in (*_ENTRIES, Setting)]
    return sorted(found, key=lambda entry: entry.span.start)


def _entries(comments: Comments, node: Node[Any]) -> Iterator[tuple[int, int, Row]]:
    """The rows of the entries of a block, with their first and last line."""
    for _, group in groupby(_entry_nodes(node), key=lambda entry: comments.lines(entry)[0]):
        same = list(group)
        first, last = comments.lines(same[-1])
        if isinstance(same[0].value, Setting):
            row = write.entry_row(write_settings([each.value for each in same]))
            yield first, last, Row("entry", row.cells, comments.behind(same[-1].span.end), inside=True)
            continue
        for each in same:
            row = write.entry_row(_ENTRIES[type(each.value)](each.value))
            yield *comments.lines(each), _printed(comments, row, each)


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
