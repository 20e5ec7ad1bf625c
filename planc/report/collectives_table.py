"""The collectives of a step as a table in the terminal."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from planc.bind.binding import Binding
from planc.check_result import Result
from planc.compile import forecast
from planc.forecast.collectives import Collective
from planc.report.text import sanitize


def print_collectives(result: Result, console: Console | None = None) -> None:
    """Print every collective of one forward and backward pass, and the totals of each axis.

    Raises:
        ValueError: the plan has no proof.
    """
    binding, proof = result.binding, result.proof
    if binding is None or proof is None:
        raise ValueError("the result has no proof: check the plan on a model")
    console = console or Console(highlight=False)
    collectives = forecast(result)
    sizes = ", ".join(
        f"{name} {'x'.join(map(str, info.shape))}" for name, info in binding.graph.inputs.items()
    )
    console.print(Text(sanitize(f"one step of {binding.graph.model.partition('?')[0]} on {sizes}")))
    # Lines are not wrapped in a narrow terminal, so that they can be searched and copied.
    console.width = max(console.width, 240)
    console.print(_table(collectives, binding), crop=False)
    for line in totals_by_axis(collectives):
        console.print(Text(sanitize(line)))
    for axis in proof.unsized_axes:
        console.print(Text(sanitize(f"{axis}: unknown, because the axis has no size: --{_size_flag(axis)}")))


def _table(rows: Sequence[Collective], binding: Binding) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("axis", "pass", "collective", "what", "module", "line"):
        table.add_column(heading, no_wrap=True)
    for heading in ("count", "each", "in all"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in rows:
        cells = (one.axis, one.direction, one.kind, f"{one.tensor} ({one.dtype})", one.module, _rule_line(one, binding),
                 str(one.count), format_bytes(one.bytes), format_bytes(one.bytes * one.count))  # fmt: skip
        table.add_row(*(Text(sanitize(cell)) for cell in cells))
    return table


def _size_flag(axis: str) -> str:
    return f"{axis} N" if axis in ("tp", "dp") else f"mesh {axis}=N"


def _rule_line(collective: Collective, binding: Binding) -> str:
    """The line of the rule, with the file if it is not that of the plan."""
    if collective.rule is None:
        return ""
    label = collective.rule.location.label()
    number = str(label.source.position(label.span.start).line)
    own = label.source.name == binding.resolved.documents[0].source.name
    return number if own else f"{os.path.basename(label.source.name)}:{number}"


def totals_by_axis(rows: Iterable[Collective]) -> list[str]:
    """A line for each axis and pass: the number of collectives, and their bytes."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for one in rows:
        count, size = sums.get((one.axis, one.direction), (0, 0))
        sums[one.axis, one.direction] = (count + one.count, size + one.count * one.bytes)
    return [
        f"{axis}, {direction}: {count} collective{'s' * (count != 1)}, {format_bytes(size)}"
        for (axis, direction), (count, size) in sums.items()
    ]


def format_bytes(size: int) -> str:
    """A number of bytes in B, KiB, MiB, GiB or TiB."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
