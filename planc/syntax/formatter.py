"""`planc fmt`: canonical text, with the comments and blank lines of the original.

Every statement is printed from its records, in the order of the source. A statement with comments inside
its brackets keeps its lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from planc.ir.document import Document
from planc.ir.plan import Plan
from planc.ir.record import Record
from planc.ir.source import Source
from planc.syntax import unparse
from planc.syntax.blocks.block_codec import codec_of
from planc.syntax.comments import CommentMap
from planc.syntax.parser import parse_tree
from planc.syntax.printer import TextRow, print_rows
from planc.syntax.spanned import Spanned
from planc.syntax.statements import decode_plan
from planc.syntax.tree_reader import TreeReader

_STATEMENTS: dict[str, Any] = {
    "name": unparse.name_row, "extends": unparse.extends_row, "model": unparse.model_row,
    "mesh": unparse.mesh_row, "options": unparse.option_row, "lets": unparse.let_row,
    "requires": unparse.require_row, "accepts": unparse.accept_row,
}  # fmt: skip


def format_plan(source: Source, plan: Spanned[Plan]) -> str:
    """The canonical text of a plan that was read without errors."""
    statements: list[tuple[int, str, Spanned[Any]]] = []
    for field, node in (plan.fields or {}).items():
        nodes = [node] if node.tree is not None else list((node.fields or {}).values())
        statements += [(each.span.start, field, each) for each in nodes]
    statements.sort(key=lambda statement: statement[0])
    comments = CommentMap(source, list(_pieces(statements)))
    rows: list[TextRow] = []
    at = 1
    for _, field, node in statements:
        first, last = comments.line_range(node)
        rows += comments.rows_between(at, first)
        if field == "blocks":
            rows += _block(comments, node, last)
        else:
            row = _STATEMENTS[field](node.value)
            rows.append(_printed(comments, row, node.span.start, node.span.end))
        at = last + 1
    rows += comments.rows_between(at, source.line_count + 1)
    return print_rows(_tidy(rows))


def _pieces(statements: list[tuple[int, str, Spanned[Any]]]) -> Iterator[tuple[int, int]]:
    """Everything that comments may be inside of or after: statements, the braces of blocks, entries."""
    for _, field, node in statements:
        if field == "blocks":
            opening, closing = _brace(node), node.span.end
            yield opening, opening + 1
            yield closing - 1, closing
            for part in _entry_nodes(node):
                yield part.span.start, part.span.end
        else:
            yield node.span.start, node.span.end


def _printed(comments: CommentMap, row: TextRow, start: int, end: int) -> TextRow:
    """A row with its comment, or the source lines where there are comments inside it."""
    comment = comments.trailing(end)
    if comments.has_comment_inside(start, end):
        return TextRow("raw", comments.source_lines(start, end), comment, row.in_block)
    return TextRow(row.kind, row.cells, comment, row.in_block)


def _block(comments: CommentMap, node: Spanned[Any], last: int) -> list[TextRow]:
    header, _ = codec_of(node.value.kind).encode(node.value)
    opening = _brace(node)
    at = comments.line_number(opening) + 1
    rows: list[TextRow] = []
    for begin, end, row in _entries(comments, node):
        rows += comments.rows_between(at, begin, inside=True)
        rows.append(row)
        at = max(at, end + 1)
    rows += comments.rows_between(at, last, inside=True)
    closing = comments.trailing(node.span.end)
    return unparse.frame_block(node.value.kind, header, _tidy(rows), comments.trailing(opening + 1), closing)


def _brace(node: Spanned[Any]) -> int:
    """The offset of the brace that opens a block."""
    return int(next(t.start_pos for t in node.tree.children if getattr(t, "type", "") == "LBRACE"))


def _entry_nodes(node: Spanned[Any]) -> list[Spanned[Any]]:
    """The entries of a block, in order; settings of one line are several."""
    found: list[Spanned[Any]] = []
    for part in (node.fields or {}).values():
        each = [part] if part.tree is not None else (part.fields or {}).values()
        found += [n for n in each if isinstance(n.value, Record)]
    return sorted(found, key=lambda entry: entry.span.start)


def _entries(comments: CommentMap, node: Spanned[Any]) -> Iterator[tuple[int, int, TextRow]]:
    """The rows of the entries of a block, with their first and last line."""
    codec = codec_of(node.value.kind)
    for _, group in groupby(_entry_nodes(node), key=lambda entry: comments.line_range(entry)[0]):
        same = list(group)
        lines = codec.encode(codec.from_records([each.value for each in same]))[1]
        if len(lines) == 1:  # one entry, or several that share a line, as settings do
            first, last = same[0].span.start, same[-1].span.end
            row = _printed(comments, unparse.entry_row(lines[0]), first, last)
            yield comments.line_number(first), comments.line_number(last), row
            continue
        for each, line in zip(same, lines, strict=True):
            start, end = each.span.start, each.span.end
            row = _printed(comments, unparse.entry_row(line), start, end)
            yield comments.line_number(start), comments.line_number(end), row


def _tidy(rows: list[TextRow]) -> list[TextRow]:
    """Blank lines one at a time, and none at the ends."""
    kept: list[TextRow] = []
    for row in rows:
        if row.kind == "blank" and (not kept or kept[-1].kind == "blank"):
            continue
        kept.append(row)
    while kept and kept[-1].kind == "blank":
        kept.pop()
    return kept


def format_document(document: Document) -> str:
    """The canonical text of a document that was read from text without errors."""
    reader = TreeReader(document.source)
    node = decode_plan(parse_tree(document.source.text, _raise_on_error), reader)
    return format_plan(document.source, node)


def _raise_on_error(code: str, start: int, end: int, message: str, details: dict[str, str]) -> None:
    raise ValueError(f"{code} at {start}: {message}")
