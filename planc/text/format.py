"""`planc fmt`: canonical text, with the comments and blank lines of the original.

Every statement is printed from what was read, in the order in which it stands. A
statement with comments inside its brackets keeps its lines.
"""

from __future__ import annotations

import re
from typing import Any

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
from planc.text.reader import Reader
from planc.text.rows import Row, render
from planc.text.statements import read_plan
from planc.text.syntax import parse

_COMMENT = re.compile(r'"(?:[^"\\\n]|\\.)*"|(#[^\r\n]*)')
_BLANKS = re.compile(r"[ \t]+")
_STATEMENTS: dict[str, Any] = {
    "name": write.name_row, "extends": write.extends_row, "model": write.model_row,
    "mesh": write.mesh_row, "options": write.option_row, "lets": write.let_row,
    "requires": write.require_row,
}  # fmt: skip
_ENTRIES: dict[type, Any] = {
    Rule: write_rule, Loss: write_loss, Unit: write_unit, Recompute: write_region,
    Compile: write_target, Pattern: lambda pattern: Line((f"remove {pattern}",)),
}  # fmt: skip


class _Lines:
    """The lines of a source: which hold a comment, which are blank."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.comments: dict[int, str] = {}
        for found in _COMMENT.finditer(source.text):
            if found[1] is not None:
                text = found[1].rstrip()
                self.comments[source.position(found.start()).line] = text

    def of(self, offset: int) -> int:
        return self.source.position(offset).line

    def is_blank(self, number: int) -> bool:
        return not self.source.line(number).strip()

    def has_inner_comment(self, first: int, last: int) -> bool:
        return any(number in self.comments for number in range(first, last))

    def raw(self, first: int, last: int) -> tuple[str, ...]:
        """Lines as they are, blanks folded, the last one's comment left out."""
        lines = []
        for number in range(first, last + 1):
            code, comment = self._halves(number)
            keep = comment if number < last else ""
            lines.append(f"{code}  {keep}".strip() if code else keep)
        return tuple(line for line in lines if line)

    def _halves(self, number: int) -> tuple[str, str]:
        text = self.source.line(number)
        for found in _COMMENT.finditer(text):
            if found[1] is not None:
                return _fold(text[: found.start()]), found[1].rstrip()
        return _fold(text), ""


def _fold(text: str) -> str:
    """Blanks outside quotes folded to one."""
    parts = re.split(r'("(?:[^"\\\n]|\\.)*")', text.strip())
    return "".join(p if i % 2 else _BLANKS.sub(" ", p) for i, p in enumerate(parts))


def format_plan(source: Source, plan: Node[Plan]) -> str:
    """The canonical text of a plan that was read without faults."""
    lines = _Lines(source)
    statements: list[tuple[int, str, Node[Any]]] = []
    for field, node in (plan.parts or {}).items():
        nodes = [node] if node.branch is not None else list((node.parts or {}).values())
        statements += [(each.span.start, field, each) for each in nodes]
    rows: list[Row] = []
    at = 1
    for _, field, node in sorted(statements, key=lambda s: s[0]):
        first, last = lines.of(node.span.start), lines.of(node.span.end)
        rows += _between(lines, at, first, inside=False)
        if field == "blocks":
            rows += _block(lines, node, first, last)
        else:
            row = _STATEMENTS[field](node.value)
            rows.append(_printed(lines, row, first, last))
        at = last + 1
    rows += _between(lines, at, source.line_count + 1, inside=False)
    return render(_tidy(rows))


def _printed(lines: _Lines, row: Row, first: int, last: int) -> Row:
    """A row with its comment; as it was written where comments stand inside it."""
    comment = lines.comments.get(last, "")
    if lines.has_inner_comment(first, last):
        return Row("raw", lines.raw(first, last), comment, row.inside)
    return Row(row.kind, row.cells, comment, row.inside)


def _block(lines: _Lines, node: Node[Any], first: int, last: int) -> list[Row]:
    from planc.blocks import KINDS

    header, _ = KINDS[node.value.kind].write(node.value)
    brace = next(t for t in node.branch.children if getattr(t, "type", "") == "LBRACE")
    at = lines.of(brace.start_pos)
    opening = lines.comments.get(at, "") if at < last else ""
    rows: list[Row] = []
    at = at + 1 if at < last else last
    for begin, end, line in _entries(lines, node):
        rows += _between(lines, at, begin, inside=True)
        row = write.entry_row(line)
        rows.append(row if begin == last else _printed(lines, row, begin, end))
        at = end + 1
    rows += _between(lines, at, last, inside=True)
    entries = _tidy(rows)
    return write.framed(node.value.kind, header, entries, opening, lines.comments.get(last, ""))


def _entries(lines: _Lines, node: Node[Any]) -> list[tuple[int, int, Line]]:
    """The entries of a block in order, with their first and last line."""
    found: list[tuple[int, int, Line]] = []
    settings: dict[int, list[Setting]] = {}
    for part in (node.parts or {}).values():
        for each in [part] if part.branch is not None else (part.parts or {}).values():
            first, last = lines.of(each.span.start), lines.of(each.span.end)
            if isinstance(each.value, Setting):
                settings.setdefault(first, []).append(each.value)
            elif type(each.value) in _ENTRIES:
                found.append((first, last, _ENTRIES[type(each.value)](each.value)))
    found += [(number, number, write_settings(group)) for number, group in settings.items()]
    return sorted(found, key=lambda entry: entry[0])


def _between(lines: _Lines, first: int, end: int, *, inside: bool) -> list[Row]:
    """Comments and blank lines from one line up to another."""
    rows: list[Row] = []
    for number in range(first, end):
        if number in lines.comments:
            rows.append(Row("comment", (lines.comments[number],), inside=inside))
        elif lines.is_blank(number):
            rows.append(Row("blank", inside=inside))
    return rows


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
