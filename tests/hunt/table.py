"""The table of agreement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from tests.hunt.speak import NO_PLAN

Found = Mapping[str, Any]


def is_counted(found: Found) -> bool:
    """Whether both judges have something to say: it is a mutant, and a plan."""
    return found["number"] >= 0 and found["checker"] != NO_PLAN


class Table:
    """How often the judges agree."""

    def __init__(self, every: Iterable[Found]) -> None:
        every = list(every)
        self.mutants = [found for found in every if is_counted(found)]
        self.no_plan = sum(found["number"] >= 0 and found["checker"] == NO_PLAN for found in every)
        self.bases = [found for found in every if found["number"] < 0]

    def unsound(self) -> list[Found]:
        """Wrong and called right."""
        return [
            f for f in (*self.bases, *self.mutants) if f["checker"] == "proved" and f["numbers"] == "wrong"
        ]

    def strict(self) -> list[Found]:
        """Right and called wrong."""
        return [f for f in self.mutants if f["checker"] == "refuted" and f["numbers"] == "right"]

    def unproved(self) -> list[Found]:
        return [f for f in self.mutants if f["checker"] == "unproved"]

    def bad_fixes(self) -> list[Found]:
        """Plans that are wrong with the fixes that planc offers."""
        return [f for f in self.mutants if f["fixed"] == "wrong"]

    def fixes(self) -> list[Found]:
        return [f for f in self.mutants if f["fixed"]]

    def counts(self, mutants: Iterable[Found] | None = None) -> Counter[tuple[str, str]]:
        """Mutants by what the checker says and what the numbers say."""
        chosen = self.mutants if mutants is None else mutants
        return Counter((found["checker"], found["numbers"]) for found in chosen)

    def by(self, key: str) -> dict[Any, list[Found]]:
        """The mutants in groups."""
        groups: dict[Any, list[Found]] = {}
        for found in self.mutants:
            groups.setdefault(found[key], []).append(found)
        return groups
