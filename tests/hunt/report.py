"""docs/soundness.md: the part that a hunt writes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata

from tests.hunt.table import AgreementTable, Finding, replay_of
from tests.rank_pool import ROOT

PAGE = ROOT / "docs" / "soundness.md"
BEGIN, END = "<!-- hunt: written by `make hunt` -->", "<!-- hunt: end -->"
MOST_STRICT, MOST_UNPROVED = 0.01, 0.02


def failures_of(table: AgreementTable) -> list[str]:
    """What is not as it must be, a line each."""
    faults = [f"wrong and called right: {replay_of(f)}: {f['why']}" for f in table.unsound()]
    faults += [f"wrong with the fix that was offered: {replay_of(f)}" for f in table.bad_fixes()]
    count = len(table.mutants)
    return [
        *faults,
        *excess("right and called wrong", table.strict(), count, MOST_STRICT, _describe),
        *excess("unproved", table.unproved(), count, MOST_UNPROVED, _describe),
    ]


def _describe(found: Finding) -> str:
    return f"{replay_of(found)} {' '.join(found['codes'])} {found['changes']}"


def excess(
    what: str, found: Sequence[Finding], count: int, most: float, describe: Callable[[Finding], str]
) -> list[str]:
    """What more mutants of `count` are than the share `most` of them, a line each."""
    if len(found) <= most * count:
        return []
    return [f"{what}: {len(found)} of {count}, more than {most:.0%}", *(f"  {describe(f)}" for f in found)]


def write_page(table: AgreementTable, seed: int) -> None:
    """Put the tables between their marks."""
    write_between(BEGIN, END, _lines(table, seed))


def write_between(begin: str, end: str, lines: Iterable[str]) -> None:
    """Put lines between two marks of the page."""
    text = "\n".join(lines)
    between = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
    PAGE.write_text(between.sub(lambda _: f"{begin}\n{text}\n{end}", PAGE.read_text("utf-8")), "utf-8")


def versions() -> str:
    """The releases that the numbers are of."""
    return ", ".join(
        f"{name} {metadata.version(name).partition('+')[0]}" for name in ("torch", "transformers")
    )


def _lines(table: AgreementTable, seed: int) -> Iterator[str]:
    families = len(table.by("base"))
    yield ""
    yield f"Seed {seed}, {versions()}: {len(table.mutants):,} mutants of {families} families of plans and modules,"
    yield f"on {len(table.by('reference'))} models. Another {len(table.same):,} say the same as their base plan in other words;"
    yield f"{table.no_plan:,} are not valid plans; {len(table.untrue)} make a false statement without effect ({_codes(table.untrue)})."
    yield ""
    yield from outcome_rows("", [("all", table.mutants), ("in other words", table.same)])
    yield ""
    for title, key in (("family", "base"), ("mesh", "mesh"), ("options", "options")):
        yield from outcome_rows(title, list(table.by(key).items()))
        yield ""
    yield from outcome_rows("change", list(table.by_change().items()))
    yield ""
    fixes = Counter((f["fix"], f["fixed"]) for f in table.fixes())
    proved = sum(count for (verdict, _), count in fixes.items() if verdict == "proved")
    yield f"planc offers fixes for {len(table.fixes()):,} of the plans that it refuses. It proves {proved:,} of the fixed plans; the"
    yield f"numbers call {fixes['proved', 'wrong']} of these wrong."
    yield ""
    yield "Right and called wrong, each with the line that replays it:"
    yield ""
    for found in table.strict():
        says = "; ".join(text for _, text in found["changes"])
        yield f"- `{replay_of(found)}` {' '.join(found['codes'])}: `{says}`"
    yield ""


def _codes(mutants: Iterable[Finding]) -> str:
    counts = Counter(found["codes"][0] for found in mutants)
    return ", ".join(f"{code} {count}" for code, count in sorted(counts.items()))


def outcome_rows(title: str, groups: Iterable[tuple[str, list[Finding]]]) -> Iterator[str]:
    """A table of the outcomes in each group."""
    yield f"| {title} | mutants | right, proved | wrong, refuted | **wrong, proved** | right, refuted | unproved |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name, found in groups:
        counts = Counter((f["checker"], f["numbers"]) for f in found)
        unproved = sum(count for (checker, _), count in counts.items() if checker == "unproved")
        cells = (
            f"{len(found):,}", f"{counts['proved', 'right']:,}", f"{counts['refuted', 'wrong']:,}",
            f"**{counts['proved', 'wrong']}**", f"{counts['refuted', 'right']}", f"{unproved}",
        )  # fmt: skip
        yield f"| {name} | " + " | ".join(cells) + " |"
