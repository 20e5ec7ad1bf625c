"""Rows of canonical text: alignment, comments, lines that are too long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from planc.ir.record import Record

WIDTH = 100
"""Columns after which the arguments of a line are printed one to a line."""
MAX_CELL_WIDTHS = (56, 24)
"""A cell wider than this does not widen its column: patterns, and styles."""
INDENT = "    "


class TextRow(Record):
    """One line, or what may be broken into several."""

    kind: Literal["statement", "entry", "comment", "blank", "open", "close", "raw"]
    cells: tuple[str, ...] = ()
    """Text in columns; of a `raw` row, its lines."""
    comment: str = ""
    """A comment at the end of the line, with its `#`."""
    in_block: bool = False
    """In a block."""


BLANK_ROW = TextRow("blank")


def print_rows(rows: Sequence[TextRow]) -> str:
    """The text of rows, its columns aligned, with a newline at the end of each line."""
    texts: list[tuple[str, str]] = []
    for group in _groups(rows):
        widths = _widths(group)
        for row in group:
            lines = _lines(row, widths)
            texts += [(line, "") for line in lines[:-1]]
            texts.append((lines[-1], row.comment))
    out: list[str] = []
    run: list[tuple[str, str]] = []
    for text, comment in [*texts, ("", "")]:
        if comment:
            run.append((text, comment))
            continue
        # Comments of consecutive lines are aligned in one column.
        column = max((len(t) for t, _ in run), default=0) + 2
        out += [f"{t:<{column}}{c}" for t, c in run]
        run = []
        out.append(text)
    return "".join(f"{line.rstrip()}\n" for line in out[:-1])


def _groups(rows: Sequence[TextRow]) -> list[list[TextRow]]:
    """Rows that share columns: the entries of one block; statements of one kind in a run."""
    groups: list[list[TextRow]] = []
    key: object = None
    block = 0
    for row in rows:
        block += row.kind == "open"
        if row.in_block and row.kind in ("entry", "comment", "blank", "raw"):
            mark: object = block
        else:
            mark = row.cells[0].split()[0] if row.kind == "statement" else None
        if mark is None or mark != key:
            groups.append([])
        groups[-1].append(row)
        key = mark
    return groups


def _widths(group: list[TextRow]) -> list[int]:
    """How wide each column is: as its widest cell that has another cell after it."""
    widths: list[int] = []
    for row in group:
        if row.kind not in ("entry", "statement"):
            continue
        used = [cell for cell in row.cells if cell]
        last = row.cells.index(used[-1]) if used else 0
        for i, cell in enumerate(row.cells[:last]):
            if i == len(widths):
                widths.append(0)
            if len(cell) <= MAX_CELL_WIDTHS[min(i, 1)]:
                widths[i] = max(widths[i], len(cell))
    return widths


def _lines(row: TextRow, widths: list[int]) -> list[str]:
    indent = INDENT if row.in_block else ""
    if row.kind == "raw":
        return [f"{indent}{INDENT if i else ''}{line}" for i, line in enumerate(row.cells)]
    # Columns of a block have a gap between them; the second half of a statement begins with its '='.
    gap = 3 if row.kind == "entry" else 1
    text = ""
    for i, cell in enumerate(row.cells):
        if cell or any(row.cells[i:]):
            text += f"{cell:<{widths[i]}}{' ' * gap}" if i < len(widths) else cell
    text = indent + text.rstrip()
    return [text] if len(text) <= WIDTH else _broken(text, indent)


def _broken(text: str, indent: str) -> list[str]:
    """A long line with the arguments of its last brackets that hold several one to a line."""
    opened: list[list[int]] = []
    cuts: list[int] = []
    for at, char in enumerate(text):
        if char == "(":
            opened.append([at])
        elif char == "," and opened:
            opened[-1].append(at)
        elif char == ")" and opened:
            group = [*opened.pop(), at]
            if not opened and len(group) > 2:
                cuts = group
    if not cuts or '"' in text:
        return [text]
    arguments = [text[a + 1 : b].strip() for a, b in zip(cuts, cuts[1:], strict=False)]
    first, last = cuts[0], cuts[-1]
    return [text[: first + 1], *(f"{indent}{INDENT}{a}," for a in arguments if a), f"{indent}{text[last:]}"]
