"""What `planc verify` found, as a table in the terminal and as JSON."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from planc.blocks.tensor import write_loss, write_rule
from planc.ir.settled import Placed
from planc.ir.verified import LIMIT, Row, Verified
from planc.report.text import printable

SHOWN, FINE = 20, 4
"""Rows of a table, unless all are asked for: that are wrong, and where none is."""
_COLORS = {"right": "green", "wrong": "bold red", "unjudged": "yellow"}


def draw(
    found: Verified, notes: Sequence[str] = (), *, every: bool = False, console: Console | None = None
) -> None:
    """Print what was found: the worst tensors first.

    Args:
        notes: what was done to the model before.
        every: whether rows that are all right are printed too.
    """
    console = console or Console(highlight=False)
    # Lines are whole however narrow the terminal: they can be searched and copied.
    console.width = max(console.width, 200)

    def say(text: str, style: str = "") -> None:
        console.print(Text(printable(text), style=style))

    mesh = " x ".join(f"{name}={size}" for name, size in found.sizes.items()) or "no mesh"
    say(f"{found.plan} on {mesh}: {found.model}, seed {found.seed}")
    for note in notes:
        say(f"  {note}")
    if found.refuted:
        say("planc check does not prove this plan; the numbers are of the plan as it is written:", "yellow")
        for line in found.refuted:
            say(f"  {line}")
    bad = [row for row in found.rows if not row.ok]
    shown = found.rows if every else bad[:SHOWN] or found.rows[:FINE]
    if shown:
        console.print()
        console.print(_table(shown), crop=False)
        for line in _rest(found.rows, shown):
            say(line)
    for ran in found.ran:
        if ran.refused:
            say(f"{ran.run}: refused, as a plan may: {ran.raised}")
    for reason in found.reasons:
        say(reason, "red")
    console.print()
    said = Text(printable(f"{found.plan}: "))
    said.append(found.verdict if found.verdict != "unjudged" else "not judged", _COLORS[found.verdict])
    said.append(f": {_summary(found, len(bad))}")
    console.print(said)


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("what", no_wrap=True)
    table.add_column("name", no_wrap=True)
    table.add_column("error", justify="right", no_wrap=True)
    for heading in ("", "run", "rule"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        ok = Text("ok", "green") if row.ok else Text("wrong", "red")
        cells = (row.kind, row.name or "(the result)", row.note or amount(row.error))
        table.add_row(
            *(Text(printable(cell)) for cell in cells), ok, Text(row.run), Text(printable(rule_of(row.rule)))
        )
    return table


def amount(error: float) -> str:
    """An error in units, as people read it."""
    if not math.isfinite(error):
        return "infinite"
    if error < 0.01:
        return "0.00" if error < 0.005 else "0.01"
    return f"{error:,.2f}" if error < 1000 else f"{error:.1e}"


def rule_of(rule: Placed | None) -> str:
    """A rule with its place: `llama.plan:14  block.mlp.down_proj rowwise`."""
    if rule is None:
        return "no rule"
    label = rule.place.label()
    place = f"{os.path.basename(label.source.name)}:{label.source.position(label.span.start).line}"
    value: Any = rule.value
    line = write_rule(value) if hasattr(value, "pattern") else write_loss(value)
    return f"{place}  {' '.join(cell for cell in line.cells if cell)}"


def _rest(rows: Sequence[Row], shown: Sequence[Row]) -> Iterator[str]:
    left = rows[len(shown) :]
    wrong = sum(not row.ok for row in left)
    if wrong:
        yield f"and {wrong} more that are wrong"
    fine = [row for row in left if row.ok]
    if fine:
        yield f"and {len(fine)} more that are ok, the worst {amount(max(row.error for row in fine))} units off"


def _summary(found: Verified, wrong: int) -> str:
    runs = [ran.run for ran in found.ran if ran.raised is None]
    if not found.rows:
        return "nothing could be compared"
    what = (
        f"{len(found.rows)} tensors in {len(runs)} {'run' if len(runs) == 1 else 'runs'} ({', '.join(runs)})"
    )
    if wrong:
        return f"{wrong} of {what} are more than {LIMIT:g} units off; a unit is what rounding in float32 explains"
    return f"{what}, the worst {amount(found.rows[0].error)} units off; a unit is what rounding in float32 explains"


def to_json(found: Verified, notes: Sequence[str] = ()) -> str:
    """One object, version 1. An error that is no number is null, and its row says why."""
    data = {
        "version": 1,
        "plan": found.plan,
        "model": found.model,
        "mesh": dict(found.sizes),
        "seed": found.seed,
        "verdict": found.verdict,
        "limit": LIMIT,
        "notes": list(notes),
        "reasons": list(found.reasons),
        "refuted": list(found.refuted),
        "runs": [{"run": ran.run, "raised": ran.raised, "refused": ran.refused} for ran in found.ran],
        "rows": [_row(row) for row in found.rows],
    }
    return json.dumps(data, indent=2) + "\n"


def _row(row: Row) -> dict[str, Any]:
    return {
        "kind": row.kind, "name": row.name, "run": row.run, "ok": row.ok,
        "error": row.error if math.isfinite(row.error) else None, "note": row.note,
        "rule": None if row.rule is None else rule_of(row.rule),
    }  # fmt: skip


@contextmanager
def progress() -> Iterator[Callable[[int, int, str], None]]:
    """A bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    # It is drawn when it is told, not by a thread: processes are forked meanwhile.
    with Progress(
        *columns, console=console, auto_refresh=False, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("building the model", total=None)

        def tell(done: int, count: int, what: str) -> None:
            bar.update(task, completed=done, total=count, description=what or "done", refresh=True)

        bar.refresh()
        yield tell
