"""The table of agreement on mutated models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.hunt.judge import NO_PLAN, UNTRUE
from tests.hunt.models.numbers_on_rank import NO_MODEL
from tests.hunt.report import excess

Finding = Mapping[str, Any]
UNCHANGED = "nothing"


class ModelTable:
    """How often the judges agree on mutated models."""

    def __init__(self, every: Iterable[Finding]) -> None:
        known = {replay_words(found): found for found in every}
        self.no_model = sum(found["numbers"] == NO_MODEL for found in known.values())
        self.no_plan = sum(found["checker"] == NO_PLAN for found in known.values())
        self.untrue = sum(found["checker"] == UNTRUE for found in known.values())
        self.mutants = [
            f for f in known.values() if f["numbers"] != NO_MODEL and f["checker"] not in (NO_PLAN, UNTRUE)
        ]

    @property
    def models(self) -> int:
        """How many models there are."""
        return len({(found["base"], found["seed"], found["number"]) for found in self.mutants})

    def unsound(self) -> list[Finding]:
        """Wrong and called right."""
        return [f for f in self.mutants if f["checker"] == "proved" and f["numbers"] == "wrong"]

    def strict(self) -> list[Finding]:
        """Right and called wrong."""
        return [f for f in self.mutants if f["checker"] == "refuted" and f["numbers"] == "right"]

    def unproved(self) -> list[Finding]:
        return [f for f in self.mutants if f["checker"] == "unproved"]

    def by(self, key: str) -> dict[str, list[Finding]]:
        """The mutants in groups."""
        groups: dict[str, list[Finding]] = {}
        for found in self.mutants:
            groups.setdefault(_text(found[key]), []).append(found)
        return dict(sorted(groups.items()))

    def by_mutation(self) -> dict[str, list[Finding]]:
        """The mutants by the kinds of their mutations; one with two of them stands under both."""
        groups: dict[str, list[Finding]] = {}
        for found in self.mutants:
            for kind in dict.fromkeys(kind for kind, _ in found["changes"]) or (UNCHANGED,):
                groups.setdefault(kind, []).append(found)
        return dict(sorted(groups.items()))


def _text(value: Any) -> str:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)


def replay_words(found: Finding) -> str:
    """The words that replay a mutant."""
    return ":".join(str(found[name]) for name in ("base", "seed", "number", "setting"))


def describe(found: Finding) -> str:
    """A finding in a line."""
    changes = "; ".join(text for _, text in found["changes"])
    codes = " ".join(found["codes"])
    needed = found["needed"] or f"{changes or UNCHANGED} | {found['says']}"
    return f"{replay_words(found)} {codes}: {needed}"


def faults_in(table: ModelTable, most_strict: float, most_unproved: float) -> list[str]:
    """What is not as it must be, a line each."""
    faults = [f"wrong and called right: {_describe_with_reason(f)}" for f in table.unsound()]
    count = len(table.mutants)
    return [
        *faults,
        *excess("right and called wrong", table.strict(), count, most_strict, _describe_with_reason),
        *excess("unproved", table.unproved(), count, most_unproved, _describe_with_reason),
    ]


def _describe_with_reason(found: Finding) -> str:
    return f"{describe(found)}: {found['why']}"
