"""A settled plan as a tree in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from planc.blocks import KINDS
from planc.ir.expr import show
from planc.ir.record import Record
from planc.ir.settled import Placed, Settled, SettledBlock
from planc.report.text import printable
from planc.text.rows import Row, render
from planc.text.write import entry_row


def draw(settled: Settled, console: Console | None = None) -> None:
    """Print the plan that a mesh and a set of options select."""
    console = console or Console(highlight=False)
    tree = Tree(_text(f"plan {settled.name or '(without a name)'}", "bold"))
    for line in _heads(settled):
        tree.add(_text(line))
    longest = 0
    for block in settled.blocks:
        branch = tree.add(_text(_header(block), "bold cyan"))
        for line in render(_rows(block)).splitlines():
            pattern, gap, rest = printable(line.strip()).partition("   ")
            branch.add(Text.assemble((pattern, "green"), gap, rest))
            longest = max(longest, len(line))
    # Lines are whole however narrow the terminal: they can be searched and copied.
    console.width = max(console.width, longest + 8)
    console.print(tree, crop=False)


def _text(line: str, style: str = "") -> Text:
    return Text(printable(line), style)


def _heads(settled: Settled) -> Iterator[str]:
    """What a plan says outside its blocks."""
    yield from (f"extends {base.source.name}" for base in settled.documents[1:])
    if settled.model:
        yield f"model {settled.model.value}"
    if settled.axes:
        sizes = [f"{a.name}={'?' if a.size is None else a.size}" for a in settled.axes]
        yield f"mesh {' x '.join(sizes)}"
    yield from (f"option {name} = {show(settled.values[name])}" for name in settled.options)
    yield from (f"require {placed.value.condition}" for placed in settled.requires)


def _header(block: SettledBlock) -> str:
    return " ".join([block.kind, " replicate ".join(axis.value for axis in block.axes)]).rstrip()


def _rows(block: SettledBlock) -> list[Row]:
    """The lines of a block as they would be written without lets and conditions."""
    return [row for placed in _everything(block) for row in _written(block.kind, placed.value)]


def _everything(block: SettledBlock) -> Iterable[Placed]:
    return (*block.settings, *block.entries, *((block.loss,) if block.loss else ()))


def _written(kind: str, record: Record) -> list[Row]:
    """The lines of a block that holds this record alone."""
    row = KINDS[kind]
    return [entry_row(line) for line in row.write(row.holding((record,)))[1]]
