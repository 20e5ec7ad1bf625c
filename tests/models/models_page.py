"""docs/models.md: the table of models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

from tests.models.cases import SOURCES, Case
from tests.rank_pool import ROOT

PAGE = ROOT / "docs" / "models.md"
_MARKS = {"proved": "yes", "refuted": "refuted", "unproved": "unproved"}
_HEAD = """# Models that planc captures and proves

This page is generated (`make models`). Each model is built small, with random weights. *Runs* are the models that run forward and
backward on a CPU with planc's example inputs: all other columns speak of those. *Captured*: `planc capture` gives a graph.
*FSDP*: a plan with a unit for each repeated block, and the root, is proved on two ranks. *Tensor plan*: the shipped plan for the
class, on 2 x 2 ranks; `-`: none is shipped. *Numbers*: that plan on processes gives what the model gives alone, `planc verify`;
`-`: not run.
"""

Row = Mapping[str, Any]


def write_page(cases: Sequence[Case], rows: Mapping[Case, Row], skipped: Sequence[str]) -> None:
    """Write the page."""
    PAGE.write_text("".join(f"{line}\n" for line in page_lines(cases, rows, skipped)), "utf-8")


def page_lines(cases: Sequence[Case], rows: Mapping[Case, Row], skipped: Sequence[str]) -> Iterator[str]:
    """The lines of the page: the same rows give the same lines."""
    yield _HEAD
    yield "| source | models | asked | runs | captured | of those, proved under FSDP |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for source in SOURCES:
        own = [case for case in cases if case.source == source]
        if own:
            yield _summary(source, len(own), [rows[case] for case in own if case in rows])
    yield ""
    asked = sum(case in rows for case in cases)
    if asked < len(cases):
        yield f"**This table is partial**: {asked} of {len(cases)} models were asked; `make models` goes on from there.\n"
    yield f"Versions: {_versions()}."
    for line in skipped:
        yield f"Left out: {line.partition(':')[0]}, which is not installed for this torch."
    for source in SOURCES:
        known = sorted(
            (case for case in cases if case.source == source and case in rows), key=lambda c: c.name
        )
        ran = [case for case in known if rows[case].get("ran")]
        if ran:
            yield f"\n## {source}\n"
            yield "| model | captured | FSDP | tensor plan | numbers | reason |"
            yield "| --- | --- | --- | --- | --- | --- |"
            yield from (_line(rows[case]) for case in ran)
    yield from _not_run([row for case, row in rows.items() if case in set(cases) and not row.get("ran")])


def _summary(source: str, count: int, rows: list[Row]) -> str:
    ran = [row for row in rows if row.get("ran")]
    captured = [row for row in ran if row.get("captured")]
    proved = [row for row in captured if row.get("fsdp") == "proved"]
    return (
        f"| {source} | {count} | {len(rows)} | {len(ran)} | {_share(len(captured), len(ran))} "
        f"| {_share(len(proved), len(captured))} |"
    )


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.1%})" if whole else "0"


def _line(row: Row) -> str:
    columns = [
        f"`{row['name']}`",
        "yes" if row.get("captured") else "no",
        _MARKS.get(row.get("fsdp", ""), "-"),
        _MARKS.get(row.get("tensor", ""), "-"),
        row.get("numbers", "-"),
        str(row.get("reason", "")).replace("|", "\\|"),
    ]
    return f"| {' | '.join(columns)} |"


def _not_run(rows: list[Row]) -> Iterator[str]:
    """Models without a line, by the kind of their reason."""
    if not rows:
        return
    kinds = Counter(str(row.get("not_run", "the tool raised")).partition(":")[0] for row in rows)
    yield f"\n## Not run\n\n{len(rows)} models have no line: they do not run at small size with planc's example inputs.\n"
    yield "| reason | models |"
    yield "| --- | --- |"
    yield from (
        f"| {kind} | {count} |" for kind, count in sorted(kinds.items(), key=lambda one: (-one[1], one[0]))
    )


def _versions() -> str:
    found = []
    for name in ("torch", "transformers", "torchvision", "timm"):
        try:
            found.append(f"{name} {metadata.version(name).partition('+')[0]}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)
