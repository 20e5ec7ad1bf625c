"""The report of `planc verify`: a table in the terminal, or JSON."""

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
"""How many rows a table shows: of wrong ones, or, where no row is wrong, of right ones."""
_SUBJECT_OF_KIND = {"output": "output", "loss": "loss"}
"""Gradients and weights are about one parameter."""
_VERDICT_STYLES = {"right": "green", "wrong": "bold red", "unjudged": "yellow"}


def print_verify_report(
    result: VerifyResult, notes: Sequence[str] = (), *, show_all: bool = False, console: Console | None = None
) -> None:
    """Print a result as a table, the worst tensors first.

    Args:
        notes: how the model and the mesh were changed before.
        show_all: print a row for every tensor and run.
        console: where to print; by default standard output.
    """
    console = console or Console(highlight=False)
    # Lines do not wrap in a narrow terminal, so that they can be searched and copied.
    console.width = max(console.width, 200)

    def print_line(text: str, style: str = "") -> None:
        console.print(Text(sanitize(text), style=style), soft_wrap=True)

    mesh = " x ".join(f"{name}={size}" for name, size in result.sizes.items()) or "no mesh"
    print_line(f"{result.plan} on {mesh}, seed {result.seed}: {result.model.partition('?')[0]}")
    for note in notes:
        for line in textwrap.wrap(note, WRAP_WIDTH, initial_indent="  ", subsequent_indent="    "):
            print_line(line)
    if result.proof_findings:
        print_line("planc check does not prove this plan; planc verify runs it as it is written:", "yellow")
        for line in result.proof_findings:
            print_line(f"  {line}")
    rows = result.comparisons if show_all else worst_rows(result.comparisons)
    wrong = sum(not row.is_right for row in rows)
    shown = rows if show_all else rows[: min(wrong, MAX_WRONG_ROWS) or MAX_OK_ROWS]
    if shown:
        console.print()
        console.print(_table(shown), crop=False)
        print_line(f"an error of 1 is {_error_unit(result)}", "dim")
        for line in _remaining_rows(rows, shown):
            print_line(line)
    for run in result.scenario_runs:
        if run.is_allowed:
            print_line(f"{run.scenario}: rejected with a clear error, which is allowed: {run.error}")
    for reason in result.reasons:
        print_line(reason, "red")
    console.print()
    last = Text(sanitize(f"{result.plan}: "))
    verdict = "not judged" if result.verdict == "unjudged" else result.verdict
    last.append(verdict, _VERDICT_STYLES[result.verdict])
    last.append(f": {_summary(result, rows, wrong)}")
    console.print(last)


def _limit(result: VerifyResult) -> float:
    return result.comparisons[0].limit if result.comparisons else ERROR_LIMIT


def _error_unit(result: VerifyResult) -> str:
    if _limit(result) == ERROR_LIMIT:
        return "what rounding in float32 explains"
    return "the standard error of a mean over many samples"


def worst_rows(rows: Sequence[TensorComparison]) -> list[TensorComparison]:
    """One row for each output and each parameter, the worst first: the worst of all runs, and of the gradient
    and the weight. Weights are left out where anything else is wrong, since they follow from it."""
    if any(not row.is_right and row.kind != "weight" for row in rows):
        rows = [row for row in rows if row.kind != "weight"]
    worst: dict[tuple[str, str], TensorComparison] = {}
    for row in sorted(rows, key=lambda row: -row.error):
        worst.setdefault((_SUBJECT_OF_KIND.get(row.kind, "parameter"), row.name), row)
    return list(worst.values())


def _table(rows: Sequence[TensorComparison]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("error", justify="right", no_wrap=True)
    for heading in ("", "what", "name", "run", "rule"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        verdict = Text("ok", "green") if row.is_right else Text("wrong", "red")
        name = f"{row.name or 'the output'}{': ' + row.note if row.note else ''}"
        texts = (Text(sanitize(cell)) for cell in (row.kind, name, row.scenario, format_rule(row.rule)))
        table.add_row(Text(format_error(row.error)), verdict, *texts)
    return table


def format_error(error: float) -> str:
    """An error with two decimals, in full, or in powers of ten."""
    if not math.isfinite(error):
        return "inf"
    if error < 100:
        return f"{error:.2f}"
    return f"{error:,.0f}" if error < 1e9 else f"{error:.1e}"


def format_rule(rule: Located | None) -> str:
    """A rule with file and line: `llama.plan:14  block.mlp.down_proj rowwise`."""
    if rule is None:
        return "no rule"
    label = rule.location.label()
    location = f"{os.path.basename(label.source.name)}:{label.source.position(label.span.start).line}"
    return f"{location}  {_rule_text(rule)}"


def _rule_text(rule: Located) -> str:
    """A rule as the user wrote it, with lets and conditions; of a plan in JSON or YAML, as text would have it."""
    label, value = rule.location.label(), rule.value
    if isinstance(value, Loss):
        words = encode_loss(value).cells
    elif label.source.format == "text":
        words = tuple(label.source.text[label.span.start : label.span.end].split())
    else:
        words = encode_rule(value).cells
    return " ".join(word for word in words if word)


def _remaining_rows(rows: Sequence[TensorComparison], shown: Sequence[TensorComparison]) -> Iterator[str]:
    hidden = rows[len(shown) :]
    wrong = sum(not row.is_right for row in hidden)
    if wrong:
        yield f"and {wrong} more are wrong"
    errors = [row.error for row in hidden if row.is_right]
    if errors:
        yield f"and {len(errors)} more are ok, with errors up to {format_error(max(errors))}"


def _summary(result: VerifyResult, rows: Sequence[TensorComparison], wrong: int) -> str:
    if not result.comparisons:
        return "every run raised" if result.scenario_runs else "nothing was run"
    runs = [run.scenario for run in result.scenario_runs if run.error is None]
    compared = f"{len(rows)} tensors in {len(runs)} run{'s' * (len(runs) != 1)} ({', '.join(runs)})"
    if wrong:
        return f"{wrong} of {compared} have errors above {_limit(result):g}"
    return f"{compared}, with errors up to {format_error(result.comparisons[0].error)}"


def verify_report_to_json(result: VerifyResult, notes: Sequence[str] = ()) -> str:
    """A result as one JSON object, version 1. An infinite error is null, and the note of its row explains it."""
    data = {
        "version": 1,
        "plan": result.plan,
        "model": result.model,
        "mesh": dict(result.sizes),
        "seed": result.seed,
        "verdict": result.verdict,
        "limit": _limit(result),
        "notes": list(notes),
        "reasons": list(result.reasons),
        "refuted": list(result.proof_findings),
        "runs": [
            {"run": run.scenario, "raised": run.error, "refused": run.is_allowed}
            for run in result.scenario_runs
        ],
        "rows": [_row_data(row) for row in result.comparisons],
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
    """A progress bar on standard error, where that is a terminal. Yields a function `(done, total, next)`."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    # Without a thread that refreshes it: the process is forked meanwhile.
    with Progress(
        *columns, console=console, auto_refresh=False, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("building the model", total=None)

        def update(done: int, total: int, description: str) -> None:
            bar.update(task, completed=done, total=total, description=description or "done", refresh=True)

        bar.refresh()
        yield update
