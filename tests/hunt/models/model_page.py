"""docs/soundness.md: the part that the hunt on mutated models writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.hunt.models.model_table import ModelTable, describe
from tests.hunt.report import outcome_rows, versions, write_between

BEGIN, END = "<!-- hunt of models: written by `make hunt` -->", "<!-- hunt of models: end -->"


def write_models_table(table: ModelTable, seed: int) -> None:
    """Put the tables between their marks."""
    write_between(BEGIN, END, _lines(table, seed))


def _lines(table: ModelTable, seed: int) -> Iterator[str]:
    yield ""
    yield f"Seed {seed}, {versions()}: {len(table.mutants):,} mutants, which are {table.models:,} models of {len(table.by('base'))} families"
    yield f"under up to six settings each. The mutations broke {table.no_model:,} other models; {table.no_plan:,} plans"
    yield f"did not fit theirs; {table.untrue:,} make a false statement without effect."
    yield ""
    yield from outcome_rows("", [("all", table.mutants)])
    yield ""
    yield from outcome_rows("mutation", list(table.by_mutation().items()))
    yield ""
    for title, key in (("mesh", "mesh"), ("recompute", "recompute"), ("batch", "rows"), ("family", "base")):
        yield from outcome_rows(title, list(table.by(key).items()))
        yield ""
    for title, found in (("Right and called wrong", table.strict()), ("Unproved", table.unproved())):
        laws = Counter(
            (" ".join(f["codes"]), kind) for f in found for kind, _ in f["changes"] or [("nothing", "")]
        )
        yield (
            f"{title}, by law and mutation: "
            + (", ".join(f"{codes} {kind} {count}" for (codes, kind), count in laws.most_common()) or "none")
            + "."
        )
        yield ""
    yield "Right and called wrong, one of each law and mutation, with the words that replay it:"
    yield ""
    seen = set()
    for found in table.strict():
        key = (tuple(found["codes"]), tuple(kind for kind, _ in found["changes"]))
        if key not in seen:
            seen.add(key)
            yield f"- `{describe(found)}`"
    yield ""
