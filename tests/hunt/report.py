"""docs/soundness.md: the part that a hunt writes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import metadata

from tests.hunt.table import Found, Table
from tests.judge.pair import ROOT

PAGE = ROOT / "docs" / "soundness.md"
BEGIN, END = "<!-- hunt: written by `make hunt` -->", "<!-- hunt: end -->"
MOST_STRICT, MOST_UNPROVED = 0.01, 0.02
_MESHES = ("tp 2", "tp 4", "dp 2 x tp 2")


def faults_of(table: Table) -> list[str]:
    """What is not as it must be, a line each."""
    count = max(len(table.mutants), 1)
    faults = [f"wrong and called right: {_replay(f)}: {f['why']}" for f in table.unsound()]
    faults += [f"wrong with the fix that was offered: {_replay(f)}" for f in table.bad_fixes()]
    faults += [f"a base plan is {f['checker']} and {f['numbers']}: {_replay(f)} {f['codes']} {f['why']}"
               for f in table.bases if (f["checker"], f["numbers"]) != ("proved", "right")]  # fmt: skip
    for what, found, most in (
        ("right and called wrong", table.strict(), MOST_STRICT),
        ("unproved", table.unproved(), MOST_UNPROVED),
    ):
        if len(found) > most * count:
            faults.append(f"{what}: {len(found)} of {count}, more than {most:.0%}")
        faults += [f"  {what}: {_replay(f)} {' '.join(f['codes'])} {f['changes']}" for f in found]
    return faults


def _replay(found: Found) -> str:
    return ":".join(str(found[name]).lower() for name in ("base", "mesh", "split", "seed", "number"))


def write_page(table: Table, seed: int) -> None:
    """Put the tables between their marks."""
    page = PAGE.read_text("utf-8")
    text = "\n".join(_lines(table, seed))
    between = re.compile(re.escape(BEGIN) + r".*?" + re.escape(END), re.DOTALL)
    PAGE.write_text(between.sub(lambda _: f"{BEGIN}\n{text}\n{END}", page), "utf-8")


def _lines(table: Table, seed: int) -> Iterator[str]:
    versions = ", ".join(
        f"{name} {metadata.version(name).partition('+')[0]}" for name in ("torch", "transformers")
    )
    yield ""
    yield f"Seed {seed}, {len(table.mutants):,} mutants of {len(table.by('base'))} models, {versions}."
    yield f"Another {table.no_plan:,} mutants are no plans: the language refuses them, and there is nothing to apply."
    yield ""
    yield from _rows("all", [("all", table.mutants)])
    yield ""
    yield from _rows("model", sorted(table.by("base").items()))
    yield ""
    yield from _rows("mesh", [(_MESHES[mesh], found) for mesh, found in sorted(table.by("mesh").items())])
    yield ""
    split = {True: "split", False: "whole"}
    yield from _rows("sequence", [(split[key], found) for key, found in sorted(table.by("split").items())])
    yield ""
    yield from _rows("change", _by_change(table.mutants))
    yield ""
    fixes = Counter((f["fix"], f["fixed"]) for f in table.fixes())
    proved = sum(count for (verdict, _), count in fixes.items() if verdict == "proved")
    yield f"Fixes: of {len([f for f in table.mutants if f['fix']]):,} plans that planc offers fixes for, {proved:,} are"
    yield f"proved with them; the numbers call {fixes['proved', 'wrong']} of these wrong."


def _by_change(mutants: Iterable[Found]) -> list[tuple[str, list[Found]]]:
    groups: dict[str, list[Found]] = {}
    for found in mutants:
        for kind in dict.fromkeys(kind for kind, _ in found["changes"]):
            groups.setdefault(kind, []).append(found)
    return sorted(groups.items())


def _rows(title: str, groups: Iterable[tuple[str, list[Found]]]) -> Iterator[str]:
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
