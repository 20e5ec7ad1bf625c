"""The table of agreement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tests.hunt.judge import NO_PLAN, UNTRUE

Finding = Mapping[str, Any]


class AgreementTable:
    """How often the judges agree."""

    def __init__(self, every: Iterable[Finding]) -> None:
        known: dict[str, Finding] = {}
        for found in every:
            known.setdefault(replay_of(found), found)
        plans = [found for found in known.values() if found["checker"] not in (NO_PLAN, UNTRUE)]
        self.no_plan = sum(found["checker"] == NO_PLAN for found in known.values())
        self.untrue = [found for found in known.values() if found["checker"] == UNTRUE]
        self.same = [found for found in plans if found["same"]]
        """Those that tell the model what the base plan tells it."""
        self.mutants = [found for found in plans if not found["same"]]

    def unsound(self) -> list[Finding]:
        """Wrong and called right."""
        return [f for f in self._every() if f["checker"] == "proved" and f["numbers"] == "wrong"]

    def strict(self) -> list[Finding]:
        """Right and called wrong."""
        return [f for f in self._every() if f["checker"] == "refuted" and f["numbers"] == "right"]

    def unproved(self) -> list[Finding]:
        return [f for f in self._every() if f["checker"] == "unproved"]

    def fixes(self) -> list[Finding]:
        """Those that planc offers fixes for."""
        return [f for f in self.mutants if f["fix"]]

    def bad_fixes(self) -> list[Finding]:
        """Plans that are proved with the fixes that planc offers, and wrong."""
        return [f for f in self.mutants if f["fixed"] == "wrong"]

    def by(self, key: str) -> dict[str, list[Finding]]:
        """The mutants in groups."""
        groups: dict[str, list[Finding]] = {}
        for found in self.mutants:
            groups.setdefault(_text(found[key]), []).append(found)
        return dict(sorted(groups.items()))

    def by_change(self) -> dict[str, list[Finding]]:
        """The mutants by the kinds of their changes; one with two of them stands under both."""
        groups: dict[str, list[Finding]] = {}
        for found in self.mutants:
            for kind in dict.fromkeys(kind for kind, _ in found["changes"]):
                groups.setdefault(kind, []).append(found)
        return dict(sorted(groups.items()))

    def _every(self) -> list[Finding]:
        return [*self.mutants, *self.same]


def _text(value: Any) -> str:
    return (
        ", ".join(f"{name} {each}" for name, each in value.items())
        if isinstance(value, Mapping)
        else str(value)
    )


def replay_of(found: Finding) -> str:
    """The words that replay a mutant."""
    return ":".join(str(found[name]) for name in ("base", "seed", "variant", "number"))
