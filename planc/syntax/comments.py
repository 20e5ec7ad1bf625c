"""Comments and blank lines of a text: each comment has one owner.

A comment is inside a statement of several lines, or after the last statement or entry on its line, or on a
line of its own.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Any

from planc.ir.source import Source
from planc.syntax.printer import TextRow
from planc.syntax.spanned import Spanned

# As the lexer has it: a comment goes up to the newline; quotes are skipped.
_COMMENT = re.compile(r'"(?:[^"\\\r\n]|\\["\\])*"|(#[^\n]*)')
_QUOTED = re.compile(r'("(?:[^"\\\r\n]|\\["\\])*")')
_BLANKS = re.compile(r"[ \t]+")


class CommentMap:
    """The comments of a source, each with the piece of the plan that it belongs to."""

    def __init__(self, source: Source, pieces: list[tuple[int, int]]) -> None:
        self.source = source
        self._inside: list[int] = []
        self._trailing: dict[int, str] = {}
        self._own_line: dict[int, str] = {}
        starts = sorted(pieces)
        ends = sorted(end for _, end in pieces)
        for found in _COMMENT.finditer(source.text):
            if found[1] is not None:
                self._assign(found.start(), found[1].rstrip(), starts, ends)

    def _assign(self, at: int, text: str, starts: list[tuple[int, int]], ends: list[int]) -> None:
        line = self.source.position(at).line
        before = bisect_right(starts, (at, at)) - 1
        if before >= 0 and starts[before][1] > at:
            self._inside.append(at)
            return
        last = bisect_right(ends, at) - 1
        if last >= 0 and self.line_number(ends[last]) == line:
            self._trailing[ends[last]] = text
        else:
            self._own_line[line] = text

    def line_number(self, offset: int) -> int:
        """The line of an offset, counted from 1."""
        return self.source.position(offset).line

    def line_range(self, node: Spanned[Any]) -> tuple[int, int]:
        """The first and the last line of a piece."""
        return self.line_number(node.span.start), self.line_number(node.span.end)

    def trailing(self, end: int) -> str:
        """The comment after the piece that ends here."""
        return self._trailing.get(end, "")

    def has_comment_inside(self, start: int, end: int) -> bool:
        """Whether there is a comment inside a piece."""
        at = bisect_right(self._inside, start)
        return at < len(self._inside) and self._inside[at] < end

    def source_lines(self, start: int, end: int) -> tuple[str, ...]:
        """A piece as it was written, a line each, its blanks folded, with the word
        before its first token."""
        begin = self.source.text.rfind("\n", 0, start) + 1
        opened = self.source.text.rfind("{", begin, start)
        lines = self.source.text[max(begin, opened + 1) : end].split("\n")
        return tuple(line for line in map(_folded, lines) if line)

    def rows_between(self, first: int, end: int, *, inside: bool = False) -> list[TextRow]:
        """Comments and blank lines from one line up to another."""
        rows: list[TextRow] = []
        for number in range(first, end):
            if number in self._own_line:
                rows.append(TextRow("comment", (self._own_line[number],), in_block=inside))
            elif not self.source.line(number).strip():
                rows.append(TextRow("blank", in_block=inside))
        return rows


def _folded(line: str) -> str:
    """A line with the blanks of its code folded to one, its comment after two blanks."""
    for found in _COMMENT.finditer(line):
        if found[1] is not None:
            code = _fold(line[: found.start()])
            return f"{code}  {found[1].rstrip()}" if code else found[1].rstrip()
    return _fold(line)


def _fold(text: str) -> str:
    parts = _QUOTED.split(text.strip())
    return "".join(part if i % 2 else _BLANKS.sub(" ", part) for i, part in enumerate(parts))
