"""Where a plan was written: its text, and places in it."""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property

from planc.ir.record import Record


class Span(Record):
    """A piece of a source: offsets in code points, the end left out."""

    start: int
    end: int


class Position(Record):
    """A point in a source. Line and column count from 1, columns in code points."""

    line: int
    column: int


class Source(Record):
    """A text and the name it is reported under."""

    name: str
    text: str
    format: str = "text"
    """`text`, `yaml` or `json`."""
    folder: str | None = None
    """The folder whose tree `extends` may read; None: no file at all."""

    @cached_property
    def _starts(self) -> list[int]:
        starts, at = [0], self.text.find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = self.text.find("\n", at + 1)
        return starts

    @property
    def line_count(self) -> int:
        """The number of lines, an empty last one included."""
        return len(self._starts)

    def span(self, start: int, end: int) -> Span:
        """A span that lies in the text: what recovery adds to it, such as a last newline, does not."""
        size = len(self.text)
        start = max(0, min(start, size))
        return Span(start, max(start, min(end, size)))

    def position(self, offset: int) -> Position:
        """The line and column of an offset; one past the end is allowed."""
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self._starts, offset)
        return Position(line, offset - self._starts[line - 1] + 1)

    def line(self, number: int) -> str:
        """The text of a line, counted from 1, without its end."""
        start = self._starts[number - 1]
        end = self._starts[number] if number < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")
