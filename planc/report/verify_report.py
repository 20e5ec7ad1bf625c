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

from planc.ir.blocks import Loss
from planc.ir.resolved import Located
from planc.ir.verify_result import ERROR_LIMIT, TensorComparison, VerifyResult
from planc.report.text import sanitize
from planc.syntax.blocks.tensor_block import encode_loss, encode_rule

WRAP_WIDTH = 100
MAX_WRONG_ROWS, MAX_OK_ROWS = 20, 4
"""Rows of a table, unless all are asked for: that are wrong, and where none is."""
_SUBJECT_OF_KIND = {"output": "output", "loss": "loss"}
_VERDICT_STYLES = {"right": "green", "wrong": "bold red", "unjudged": "yellow"}


def print_verify_report(
    report: VerifyResult, notes: Sequence[str] = (), *, show_all: bool = False, console: Console | None = None
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
        console.print(Text(sanitize(text), style=style), soft_wrap=True)

    mesh = " x ".join(f"{name}={size}" for name, size in report.sizes.items()) or "no mesh"
    say(f"{report.plan} on {mesh}, seed {report.seed}: {report.model.partition('?')[0]}")
    for note in notes:
        for line in textwrap.wrap(note, WRAP_WIDTH, initial_indent="  ", subsequent_indent="    "):
            say(line)
    if report.proof_findings:
        say("planc check does not prove this plan; the numbers are of the plan as it is written:", "yellow")
        for line in report.proof_findings:
            say(f"  {line}")
    rows = report.comparisons if show_all else worst_rows(report.comparisons)
    bad = sum(not row.is_right for row in rows)
    shown = rows if show_all else rows[: min(bad, MAX_WRONG_ROWS) or MAX_OK_ROWS]
    if shown:
        console.print()
        console.print(_table(shown), crop=False)
        say(f"an error of 1 is {_error_unit(report)}", "dim")
        for line in _remaining_rows(rows, shown):
            say(line)
    for ran in report.scenario_runs:
        if ran.is_allowed:
            say(f"{ran.scenario}: refused, as a plan may: {ran.error}")
    for reason in report.reasons:
        say(reason, "red")
    console.print()
    said = Text(sanitize(f"{report.plan}: "))
    said.append(
        report.verdict if report.verdict != "unjudged" else "not judged", _VERDICT_STYLES[report.verdict]
    )
    said.append(f": {_summary(report, rows, bad)}")
    console.print(said)


def _limit(report: VerifyResult) -> float:
    return report.comparisons[0].limit if report.comparisons else ERROR_LIMIT


def _error_unit(report: VerifyResult) -> str:
    if _limit(report) == ERROR_LIMIT:
        return "what rounding in float32 explains"
    return "the standard error of a mean of many draws"


def worst_rows(rows: Sequence[TensorComparison]) -> list[TensorComparison]:
    """One row for each result and each parameter, the worst first: of the run, and of the gradient or the weight,
    that is worst off. Where more than weights is wrong, weights are left out: they follow."""
    found: dict[tuple[str, str], TensorComparison] = {}
    if any(not row.is_right and row.kind != "weight" for row in rows):
        rows = [row for row in rows if row.kind != "weight"]
    for row in sorted(rows, key=lambda row: -row.error):
        found.setdefault((_SUBJECT_OF_KIND.get(row.kind, "parameter"), row.name), row)
    return list(found.values())


def _table(rows: Sequence[TensorComparison]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("error", justify="right", no_wrap=True)
    for heading in ("", "what", "name", "run", "rule"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        ok = Text("ok", "green") if row.is_right else Text("wrong", "red")
        name = f"{row.name or 'the result'}{': ' + row.note if row.note else ''}"
        texts = (Text(sanitize(cell)) for cell in (row.kind, name, row.scenario, format_rule(row.rule)))
        table.add_row(Text(format_error(row.error)), ok, *texts)
    return table


def format_error(error: float) -> str:
    """An error in units, as people read it."""
    if not math.isfinite(error):
        return "inf"
    if error < 100:
        return f"{error:.2f}"
    return f"{error:,.0f}" if error < 1e9 else f"{error:.1e}"


def format_rule(rule: Located | None) -> str:
    """A rule with its place: `llama.plan:14  block.mlp.down_proj rowwise`."""
    if rule is None:
        return "no rule"
    label = rule.location.label()
    place = f"{os.path.basename(label.source.name)}:{label.source.position(label.span.start).line}"
    return f"{place}  {_rule_text(rule)}"


def _rule_text(rule: Located) -> str:
    """A rule as the user wrote it, with lets and conditions; of a plan that is data, as text has it."""
    label, value = rule.location.label(), rule.value
    if isinstance(value, Loss):
        words = encode_loss(value).cells
    elif label.source.format == "text":
        words = tuple(label.source.text[label.span.start : label.span.end].split())
    else:
        words = encode_rule(value).cells
    return " ".join(word for word in words if word)


def _remaining_rows(rows: Sequence[TensorComparison], shown: Sequence[TensorComparison]) -> Iterator[str]:
    left = rows[len(shown) :]
    wrong = sum(not row.is_right for row in left)
    if wrong:
        yield f"and {wrong} more that are wrong"
    fine = [row for row in left if row.is_right]
    if fine:
        yield f"and {len(fine)} more that are ok, the worst {format_error(max(row.error for row in fine))} units off"


def _summary(report: VerifyResult, rows: Sequence[TensorComparison], wrong: int) -> str:
    if not report.comparisons:
        return "every run raised" if report.scenario_runs else "nothing was run"
    runs = [ran.scenario for ran in report.scenario_runs if ran.error is None]
    what = f"{len(rows)} tensors in {len(runs)} run{'s' * (len(runs) != 1)} ({', '.join(runs)})"
    if wrong:
        return f"{wrong} of {what} are more than {_limit(report):g} units off"
    return f"{what}, the worst {format_error(report.comparisons[0].error)} units off"


def verify_report_to_json(report: VerifyResult, notes: Sequence[str] = ()) -> str:
    """One object, version 1. An error that is no number is null, and its row says why."""
    data = {
        "version": 1,
        "plan": report.plan,
        "model": report.model,
        "mesh": dict(report.sizes),
        "seed": report.seed,
        "verdict": report.verdict,
        "limit": _limit(report),
        "notes": list(notes),
        "reasons": list(report.reasons),
        "refuted": list(report.proof_findings),
        "runs": [
            {"run": ran.scenario, "raised": ran.error, "refused": ran.is_allowed}
            for ran in report.scenario_runs
        ],
        "rows": [_row_data(row) for row in report.comparisons],
    }
    return json.dumps(data, indent=2) + "\n"


def _row_data(row: TensorComparison) -> dict[str, Any]:
    return {
        "kind": row.kind, "name": row.name, "run": row.scenario, "ok": row.is_right,
        "error": row.error if math.isfinite(row.error) else None, "note": row.note,
        "rule": None if row.rule is None else _rule_data(row.rule),
    }  # fmt: skip


def _rule_data(rule: Located) -> dict[str, Any]:
    label = rule.location.label()
    line = label.source.position(label.span.start).line
    return {"path": label.source.name, "line": line, "text": _rule_text(rule)}


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int, str], None]]:
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
