"""Both judges speak of one mutant."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from planc.commands.fixing import fixed
from planc.compile import Result, check
from planc.ir.document import Document
from planc.ir.graph import ModelGraph
from planc.ir.settled import Settings
from planc.ir.source import Source
from planc.read import read_source
from planc.torch.verify.applied import told
from planc.torch.verify.ranks import Ranks
from planc.torch.verify.subject import Subject
from planc.torch.verify.verify import verify
from tests.judge import plans

TIMEOUT = 40.0
NO_PLAN = "no plan"
"""What the checker says of a text that is refused for its words: there is nothing to apply, or not all of it."""


@dataclass(frozen=True)
class Said:
    """What was said of a mutant. `fix` is empty where none is offered."""

    checker: str
    codes: tuple[str, ...]
    numbers: str
    why: str
    by: str
    """What called it right or wrong: `parallelize`, `as written`, `a lenient reading`, `not applied`."""
    fix: str = ""
    fixed: str = ""

    def data(self) -> dict[str, Any]:
        return asdict(self)


Lenient = Callable[[Result], str | None]
"""What is wrong with a plan in every reading of what it leaves open; None: one is right."""


class Court:
    """A model, and both judges."""

    def __init__(
        self, reference: str, graph: ModelGraph, subject: Subject, ranks: Ranks, lenient: Lenient
    ) -> None:
        self.reference, self.graph, self.subject, self.ranks, self.lenient = (
            reference,
            graph,
            subject,
            ranks,
            lenient,
        )

    def hear(self, text: str, mesh: Mapping[str, int]) -> Said:
        """What both say of a plan."""
        settings = Settings(dict(mesh))
        document = read_source(Source("mutant.plan", text))
        said = told(document, settings, self.graph)
        result = said.result
        codes = tuple(sorted({f.law.code for f in result.diagnostics if f.is_error or f.law.code == "L713"}))
        if any(fault.is_error and is_about_words(fault.law.code) for fault in result.diagnostics):
            return Said(NO_PLAN, codes, "wrong", "; ".join(said.reasons)[:200], "not applied")
        numbers, why, by = self._numbers(document, settings, result)
        fix, mended = "", ""
        if result.is_refuted:
            fix, mended = self._fixed(result, settings)
        return Said(result.verdict, codes, numbers, why, by, fix, mended)

    def _numbers(self, document: Document, settings: Settings, result: Result) -> tuple[str, str, str]:
        proved = result.verdict == "proved"
        found = self._verified(document, settings)
        if proved or found[0] == "right":
            return (*found, "parallelize" if proved else "as written")
        # Where planc gave up its way of reading the plan may be what is wrong.
        wrong = self.lenient(result) if result.binding is not None else "it cannot be applied"
        return ("right", found[1], "a lenient reading") if wrong is None else (*found, "as written")

    def _verified(self, document: Document, settings: Settings) -> tuple[str, str]:
        found = verify(
            document, self.reference, self.graph, settings,
            subject=self.subject, ranks=self.ranks, runs=("plain",), steps=1, timeout=TIMEOUT,
        )  # fmt: skip
        if found.verdict == "right":
            return "right", ""
        if found.reasons:
            return "wrong", found.reasons[0][:200]
        row = found.rows[0]
        return "wrong", f"{row.kind} {row.name}: {row.error:.3g} units {row.note}".strip()

    def _fixed(self, result: Result, settings: Settings) -> tuple[str, str]:
        """The verdict on a plan with the fixes that planc offers, and what the numbers say of it."""
        if not any(fault.fix is not None and fault.fix.edits for fault in result.diagnostics):
            return "", ""
        mended = fixed(result, partial(check, settings=settings, graph=self.graph))
        if mended is result:
            return "", ""
        if mended.verdict != "proved":
            return mended.verdict, ""
        return "proved", self._verified(mended.document, settings)[0]


def is_about_words(code: str) -> bool:
    """Whether a law is about what a plan says, and not about what would be computed: names that the
    language or the model does not have, two rules for one module, a condition that the plan itself sets."""
    return code[0] in "SNMRXE" or code in OF_NAMES


OF_NAMES = frozenset({"F600", "F601", "F602", "F603", "F607", "F608", "F609", "F610", "F616", "F617", "F618"})


def lenient_of(reference: str, mesh: Mapping[str, int]) -> Lenient:
    """The lenient judge for a model: hand-written splits, by what the numbers of the ranks show."""
    from tests.judge.lenient import lenient

    def wrong(result: Result) -> str | None:
        with contextlib.suppress(KeyError, ValueError, TypeError, ZeroDivisionError):
            return lenient(reference, plans.rules_of(result.settled), mesh["tp"])
        return "it cannot be read"

    return wrong
