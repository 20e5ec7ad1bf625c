"""What `planc verify` found, as a table in the terminal and as JSON."""

from __future__ import annotations

import json
import math
import os
import textwrap
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

WIDTH = 100
SHOWN, FINE = 20, 4
"""Rows of a table, unless all are asked for: that are wrong, and where none is."""
_OF = {"output": "output", "loss": "loss"}
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
        console.print(Text(printable(text), style=style), soft_wrap=True)

    mesh = " x ".join(f"{name}={size}" for name, size in found.sizes.items()) or "no mesh"
    say(f"{found.plan} on {mesh}, seed {found.seed}: {found.model.partition('?')[0]}")
    for note in notes:
        for line in textwrap.wrap(note, WIDTH, initial_indent="  ", subsequent_indent="    "):
            say(line)
    if found.refuted:
        say("planc check does not prove this plan; the numbers are of the plan as it is written:", "yellow")
        for line in found.refuted:
            say(f"  {line}")
    rows = found.rows if every else worst(found.rows)
    bad = sum(not row.ok for row in rows)
    shown = rows if every else rows[: min(bad, SHOWN) or FINE]
    if shown:
        console.print()
        console.print(_table(shown), crop=False)
        say(f"an error of 1 is {_unit(found)}", "dim")
        for line in _rest(rows, shown):
            say(line)
    for ran in found.ran:
        if ran.refused:
            say(f"{ran.run}: refused, as a plan may: {ran.raised}")
    for reason in found.reasons:
        say(reason, "red")
    console.print()
    said = Text(printable(f"{found.plan}: "))
    said.append(found.verdict if found.verdict != "unjudged" else "not judged", _COLORS[found.verdict])
    said.append(f": {_summary(found, rows, bad)}")
    console.print(said)


def _limit(found: Verified) -> float:
    return found.rows[0].limit if found.rows else LIMIT


def _unit(found: Verified) -> str:
    if _limit(found) == LIMIT:
        return "what rounding in float32 explains"
    return "the standard error of a mean of many draws"


def worst(rows: Sequence[Row]) -> list[Row]:
    """One row for each result and each parameter, the worst first: of the run, and of the gradient or the weight,
    that is worst off. Where more than weights is wrong, weights are left out: they follow."""
    found: dict[tuple[str, str], Row] = {}
    if any(not row.ok and row.kind != "weight" for row in rows):
        rows = [row for row in rows if row.kind != "weight"]
    for row in sorted(rows, key=lambda row: -row.error):
        found.setdefault((_OF.get(row.kind, "parameter"), row.name), row)
    return list(found.values())


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("error", justify="right", no_wrap=True)
    for heading in ("", "what", "name", "run", "rule"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        ok = Text("ok", "green") if row.ok else Text("wrong", "red")
        name = f"{row.name or 'the result'}{': ' + row.note if row.note else ''}"
        texts = (Text(printable(cell)) for cell in (row.kind, name, row.run, rule_of(row.rule)))
        table.add_row(Text(amount(row.error)), ok, *texts)
    return table


def amount(error: float) -> str:
    """An error in units, as people read it."""
    if not math.isfinite(error):
        return "inf"
    if error < 100:
        return f"{error:.2f}"
    return f"{error:,.0f}" if error < 1e9 else f"{error:.1e}"


def rule_of(rule: Placed | None) -> str:
    """A rule with its place: `llama.plan:14  block.mlp.down_proj rowwise`."""
    if rule is None:
        return "no rule"
    label = rule.place.label()
    place = f"{os.path.basename(label.source.name)}:{label.source.position(label.span.start).line}"
    return f"{place}  {_words(rule)}"


def _words(rule: Placed) -> str:
    """A rule as the user wrote it, with lets and conditions; of a plan that is data, as text has it."""
    label, value = rule.place.label(), rule.value
    if not hasattr(value, "pattern"):
        words = write_loss(value).cells
    elif label.source.form == "text":
        words = tuple(label.source.text[label.span.start : label.span.end].split())
    else:
        words = write_rule(value).cells
    return " ".join(word for word in words if word)


def _rest(rows: Sequence[Row], shown: Sequence[Row]) -> Iterator[str]:
    left = rows[len(shown) :]
    wrong = sum(not row.ok for row in left)
    if wrong:
        yield f"and {wrong} more that are wrong"
    fine = [row for row in left if row.ok]
    if fine:
        yield f"and {len(fine)} more that are ok, the worst {amount(max(row.error for row in fine))} units off"


def _summary(found: Verified, rows: Sequence[Row], wrong: int) -> str:
    if not found.rows:
        return "every run raised" if found.ran else "nothing was run"
    runs = [ran.run for ran in found.ran if ran.raised is None]
    what = f"{len(rows)} tensors in {len(runs)} run{'s' * (len(runs) != 1)} ({', '.join(runs)})"
    if wrong:
        return f"{wrong} of {what} are more than {_limit(found):g} units off"
    return f"{what}, the worst {amount(found.rows[0].error)} units off"


def to_json(found: Verified, notes: Sequence[str] = ()) -> str:
    """One object, version 1. An error that is no number is null, and its row says why."""
    data = {
        "version": 1,
        "plan": found.plan,
        "model": found.model,
        "mesh": dict(found.sizes),
        "seed": found.seed,
        "verdict": found.verdict,
        "limit": _limit(found),
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
        "rule": None if row.rule is None else _rule(row.rule),
    }  # fmt: skip


def _rule(rule: Placed) -> dict[str, Any]:
    label = rule.place.label()
    line = label.source.position(label.span.start).line
    return {"path": label.source.name, "line": line, "text": _words(rule)}


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
