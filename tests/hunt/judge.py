"""Both judges speak of one mutant."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from planc.check_result import Result
from planc.commands.apply_fixes import apply_fixes
from planc.compile import check_document
from planc.ir.graph import ModelGraph
from planc.ir.lowered import Lowered
from planc.ir.plan import Plan
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.syntax.read_file import read_source
from planc.syntax.unparse import unparse
from planc.torch.verify.lowering import lower_for_verify
from planc.torch.verify.model_under_test import build_model_under_test
from planc.torch.verify.verify_plan import make_rank_pool, verify_plan
from tests.mutation.variants import Case

TIMEOUT = 40.0
NO_PLAN = "no plan"
"""What the checker says of a text that is refused for its words: there is nothing to apply, or not all of it."""
UNTRUE = "untrue"
"""What it says of a plan that tells the model just what a right one does, and says beside that what is not so: of
a value, at a boundary that does nothing to it, a layout that it does not have; parts that do not add up."""
NAME_LAWS = frozenset({"F600", "F601", "F602", "F603", "F607", "F608", "F609", "F610", "F616", "F617"})


@dataclass(frozen=True)
class Judgement:
    """What was said of a mutant."""

    checker: str
    codes: tuple[str, ...]
    numbers: str
    why: str
    by: str
    """What the numbers are of: `parallelize`, `the base plan` (it tells the model the same), `as written`,
    `nothing`."""
    same: bool = False
    """Whether it tells the model just what the base plan does, in other words."""
    fix: str = ""
    """The verdict with the fixes that planc offers; empty where it offers none."""
    fixed: str = ""
    """What the numbers say of a plan that is proved with them."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Judges:
    """A model, and both judges."""

    def __init__(self, reference: str, graph: ModelGraph, base: Plan) -> None:
        self.reference, self.graph, self.base = reference, graph, base
        self.subject, self.ranks = build_model_under_test(reference, 0), make_rank_pool()
        self._known: dict[Any, tuple[Lowered | None, tuple[str, str, str]]] = {}

    def close(self) -> None:
        """End the processes."""
        self.ranks.close()

    def judge(self, case: Case) -> Judgement:
        """What both say of a case."""
        settings = Settings(dict(case.variant.sizes), options=dict(case.variant.options))
        plan = self.base if case.mutant is None else case.mutant.plan
        document = read_source(Source("mutant.plan", unparse(plan)))
        result = check_document(document, settings, self.graph)
        lowering = lower_for_verify(result)
        codes = tuple(sorted({f.law.code for f in result.diagnostics if f.is_error or f.law.code == "L713"}))
        if any(fault.is_error and is_about_names(fault.law.code) for fault in result.diagnostics):
            return Judgement(NO_PLAN, codes, "wrong", "; ".join(lowering.reasons)[:200], "nothing")
        known, numbers = self._of_base(settings)
        if case.mutant is None:
            return Judgement(result.verdict, codes, *numbers, same=not case.changes)
        if lowering.lowered is not None and lowering.lowered == known:
            if result.is_refuted and numbers[0] == "right":
                return Judgement(UNTRUE, codes, "wrong", "", "nothing", same=True)
            return Judgement(result.verdict, codes, *numbers[:2], "the base plan", same=True)
        fix, mended = self._fixed(result, settings) if result.is_refuted else ("", "")
        return Judgement(result.verdict, codes, *self._numbers(result), fix=fix, fixed=mended)

    def _of_base(self, settings: Settings) -> tuple[Lowered | None, tuple[str, str, str]]:
        """What the base plan tells the model here, and what the numbers say of it."""
        key = (tuple(settings.axis_sizes.items()), tuple(settings.options.items()))
        if key not in self._known:
            document = read_source(Source("base.plan", unparse(self.base)))
            lowering = lower_for_verify(check_document(document, settings, self.graph))
            self._known[key] = lowering.lowered, self._numbers(lowering.result)
        return self._known[key]

    def _numbers(self, result: Result) -> tuple[str, str, str]:
        by = "parallelize" if result.verdict == "proved" else "as written"
        return (*self._verified(result), by)

    def _verified(self, result: Result) -> tuple[str, str]:
        for _ in range(2):
            found = verify_plan(
                lower_for_verify(result), self.reference,
                subject=self.subject, pool=self.ranks, scenarios=("plain",), steps=1, timeout=TIMEOUT,
            )  # fmt: skip
            # A process that the machine has ended is no verdict: it is asked once more.
            if not any("the process has died" in reason for reason in found.reasons):
                break
        if found.verdict == "right":
            return "right", ""
        if found.reasons:
            return "wrong", found.reasons[0][:200]
        row = found.comparisons[0]
        return "wrong", f"{row.kind} {row.name}: {row.error:.3g} units {row.note}".strip()

    def _fixed(self, result: Result, settings: Settings) -> tuple[str, str]:
        """The verdict on a plan with the fixes that planc offers, and what the numbers say of it."""
        mended = apply_fixes(result, partial(check_document, settings=settings, graph=self.graph))
        if mended is result:
            return "", ""
        if mended.verdict != "proved":
            return mended.verdict, ""
        return "proved", self._verified(mended)[0]


def is_about_names(code: str) -> bool:
    """Whether a law is about what a plan says, and not about what would be computed: names that the
    language or the model does not have, two rules for one module, a condition that the plan itself sets."""
    return code[0] in "SNMRXE" or code in NAME_LAWS
