"""A resolved plan as a tree in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from planc.ir.expr import format_value
from planc.ir.record import Record
from planc.ir.resolved import Located, Resolved, ResolvedBlock
from planc.report.text import sanitize
from planc.syntax.blocks.block_codec import codec_of
from planc.syntax.printer import TextRow, print_rows
from planc.syntax.unparse import entry_row


def print_plan_tree(resolved: Resolved, console: Console | None = None) -> None:
    """Print the plan that a mesh and a set of options select."""
    console = console or Console(highlight=False)
    tree = Tree(_text(f"plan {resolved.name or '(without a name)'}", "bold"))
    for line in _header_lines(resolved):
        tree.add(_text(line))
    longest = 0
    for block in resolved.blocks:
        branch = tree.add(_text(_block_header(block), "bold cyan"))
        for line in print_rows(_rows(block)).splitlines():
            pattern, gap, rest = sanitize(line.strip()).partition("   ")
            branch.add(Text.assemble((pattern, "green"), gap, rest))
            longest = max(longest, len(line))
    # Lines are not wrapped in a narrow terminal, so that they can be searched and copied.
    console.width = max(console.width, longest + 8)
    console.print(tree, crop=False)


def _text(line: str, style: str = "") -> Text:
    return Text(sanitize(line), style)


def _header_lines(resolved: Resolved) -> Iterator[str]:
    """The statements of a plan outside its blocks."""
    yield from (f"extends {base.source.name}" for base in resolved.documents[1:])
    if resolved.model:
        yield f"model {resolved.model.value}"
    if resolved.axes:
        sizes = [f"{a.name}={'?' if a.size is None else a.size}" for a in resolved.axes]
        yield f"mesh {' x '.join(sizes)}"
    yield from (f"option {name} = {format_value(resolved.values[name])}" for name in resolved.options)
    yield from (f"require {placed.value.condition}" for placed in resolved.requires)
    yield from (f"accept {placed.value.code} at {placed.value.pattern}" for placed in resolved.accepts)


def _block_header(block: ResolvedBlock) -> str:
    return " ".join([block.kind, " replicate ".join(axis.value for axis in block.axes)]).rstrip()


def _rows(block: ResolvedBlock) -> list[TextRow]:
    """The lines of a block with its lets and conditions resolved."""
    return [row for placed in _block_records(block) for row in _record_rows(block.kind, placed.value)]


def _block_records(block: ResolvedBlock) -> Iterable[Located]:
    return (*block.settings, *block.entries, *((block.loss,) if block.loss else ()))


def _record_rows(kind: str, record: Record) -> list[TextRow]:
    """The lines of a block that contains only this record."""
    codec = codec_of(kind)
    return [entry_row(line) for line in codec.encode(codec.from_records((record,)))[1]]
