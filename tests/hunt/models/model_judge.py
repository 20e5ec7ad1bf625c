"""Both judges speak of a mutated model: the checker on its graph, and the numbers."""

from __future__ import annotations

import itertools
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from planc.check_result import Result
from planc.compile import diagnose
from planc.graph.capture_error import CaptureError
from planc.ir.graph import ModelGraph
from planc.ir.lowered import Lowered
from planc.ir.record import Record
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.torch.apply.applicable import inapplicable_reason
from planc.torch.capture.from_reference import capture_target
from planc.torch.capture.trace import CaptureTarget
from planc.torch.models.hugging_face import config_facts
from planc.torch.verify.lowering import VerifyPlan, lower_for_verify
from planc.torch.verify.rank_pool import RankPool
from planc.verdict import skipped_checks, verdict
from tests.hunt.judge import NO_PLAN, UNTRUE, is_about_names
from tests.hunt.models.model_bases import model_base
from tests.hunt.models.mutated_model import Key, mutated_model
from tests.hunt.models.numbers_on_rank import NO_MODEL, MutantTask, compare_mutant
from tests.hunt.models.plan_settings import PlanSetting, draw_settings, plan_document, simpler_settings

SETTINGS = 6
"""Settings of each mutated model."""
TIMEOUT = 60.0
NOT_CAPTURED = "G802"
FALSE_STATEMENTS = frozenset({"L701", "L711"})
"""What a plan violates that names, at a boundary that does nothing to a value, a layout that the value does not have."""


class Sentence(Record):
    """What both judges say."""

    checker: str
    codes: tuple[str, ...]
    numbers: str
    why: str

    @property
    def is_unsound(self) -> bool:
        return self.checker == "proved" and self.numbers == "wrong"


class ModelJudges:
    """Judges of mutated models, and the ranks that compute numbers."""

    def __init__(self) -> None:
        self._ranks: dict[int, RankPool] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="planc-hunt-")
        self._tasks = itertools.count()

    def close(self) -> None:
        """End the ranks."""
        for ranks in self._ranks.values():
            ranks.close()
        self._folder.cleanup()

    def judge(self, key: Key, only: Sequence[int] | None = None) -> Iterator[dict[str, Any]]:
        """What is said of a model under each of its settings, or under some."""
        made = mutated_model(key)
        begun = time.monotonic()
        graph, why = self.capture(key)
        captured = time.monotonic() - begun
        for index, setting in enumerate(settings_of(key)):
            if only is not None and index not in only:
                continue
            begun = time.monotonic()
            said = self.sentence(key, setting, graph, why)
            seconds = time.monotonic() - begun
            needed = self.shrink(key, setting, said) if said.is_unsound else ""
            yield {
                "base": key.base, "seed": key.seed, "number": key.number, "setting": index, "rows": key.rows,
                "changes": [list(change) for change in made.changes], "says": setting.label, "mesh": dict(setting.mesh),
                "recompute": setting.recompute_kind, "units": len(setting.units), "checker": said.checker,
                "codes": list(said.codes), "numbers": said.numbers, "why": said.why, "needed": needed,
                "seconds": [round(captured, 3), round(seconds, 3)],
            }  # fmt: skip
            if said.numbers == NO_MODEL:
                return

    def capture(self, key: Key) -> tuple[ModelGraph | None, str]:
        """The graph of a model, or why there is none."""
        base, model = model_base(key.base), mutated_model(key).model
        args, kwargs = base.call(key.rows, 0)
        facts = {} if base.subject.config is None else config_facts(base.subject.config)
        target = CaptureTarget(key.base, model, args, kwargs, facts, {})
        try:
            return capture_target(target, Source("MODEL", key.base)), ""
        except CaptureError as error:
            return None, " ".join([error.diagnostic.message, *error.diagnostic.all_notes])[:300]

    def sentence(self, key: Key, setting: PlanSetting, graph: ModelGraph | None, why: str) -> Sentence:
        """What is said of a model under one setting."""
        if graph is None:
            numbers, reason = self._run(key, setting, None, ())
            return Sentence(
                "unproved", (NOT_CAPTURED,), numbers if numbers == NO_MODEL else "unknown", reason or why
            )
        document = plan_document(key.base, setting)
        settings = Settings(dict(setting.mesh), options=dict(setting.options))
        found = diagnose(document, settings, graph)
        skipped = skipped_checks(found.resolved, settings, found.proof, graph)
        said = verdict(found.diagnostics, skipped, found.proof)
        result = Result(
            document, found.resolved, found.diagnostics, skipped, said, found.binding, found.proof
        )
        notable = [fault for fault in result.diagnostics if fault.is_error or fault.law.code == "L713"]
        codes = tuple(sorted({fault.law.code for fault in notable}))
        if any(fault.is_error and is_about_names(fault.law.code) for fault in notable):
            return Sentence(NO_PLAN, codes, "wrong", "; ".join(fault.headline for fault in notable)[:300])
        plan = lower_for_verify(result)
        reason = plan.lowered and inapplicable_reason(plan.lowered, list(dict(setting.mesh)))
        if reason:
            return Sentence(NO_PLAN, codes, "wrong", reason)
        numbers, reason = self._numbers(key, setting, plan)
        if said == "proved" and numbers == "wrong":
            # A case before may have left something behind: once more, in new processes.
            pool = self._ranks.pop(math.prod(size for _, size in setting.mesh), None)
            if pool is not None:
                pool.close()
            numbers, reason = self._numbers(key, setting, plan)
        if said == "unproved" or (said, numbers) == ("refuted", "right"):
            texts = [f"{fault.headline}: {'; '.join(fault.all_notes)}" for fault in notable]
            reason = f"{reason} [{' '.join(texts)}]"[:600]
        if said == "refuted" and numbers == "right" and not set(codes) - FALSE_STATEMENTS:
            return Sentence(UNTRUE, codes, numbers, reason)
        return Sentence(said, codes, numbers, reason)

    def _numbers(self, key: Key, setting: PlanSetting, plan: VerifyPlan) -> tuple[str, str]:
        if plan.lowered is None:
            return "wrong", "; ".join(plan.reasons)[:300]
        return self._run(key, setting, plan.lowered, plan.sharded_outputs)

    def _run(
        self, key: Key, setting: PlanSetting, lowered: Lowered | None, sharded: tuple[str, ...]
    ) -> tuple[str, str]:
        meeting = f"{self._folder.name}/{next(self._tasks)}"
        task = MutantTask(
            key,
            meeting,
            lowered,
            setting.mesh,
            sharded,
        )
        count = math.prod(size for _, size in setting.mesh)
        ranks = self._ranks.setdefault(count, RankPool(compare_mutant, max_tasks=400))
        for _ in range(2):
            results = ranks.run(count, task, TIMEOUT)
            # A process that the machine has ended is no verdict: it is asked once more.
            if not any(each.lost == "died" for each in results):
                break
        for rank in range(count):
            Path(f"{meeting}.{rank}").unlink(missing_ok=True)
        errors = sorted((each.lost is not None, each.error) for each in results if each.error is not None)
        why = [str(error) for _, error in errors] + [str(each.value) for each in results if each.value]
        if not why:
            return "right", ""
        return (NO_MODEL if why[0].startswith(NO_MODEL) else "wrong"), why[0][:300]

    def shrink(self, key: Key, setting: PlanSetting, said: Sentence) -> str:
        """What a finding needs: it stays one without all the rest."""
        for index in range(len(mutated_model(key).changes)):
            fewer = replace(key, without=(index,))
            if self._agrees(fewer, setting, said):
                key = fewer
                break
        found = True
        while found:
            found = False
            for simpler in simpler_settings(key.base, setting):
                if self._agrees(key, simpler, said):
                    setting, found = simpler, True
                    break
        changes = "; ".join(text for _, text in mutated_model(key).changes)
        return f"{changes or 'nothing changed'} | {setting.label}"

    def _agrees(self, key: Key, setting: PlanSetting, said: Sentence) -> bool:
        graph, why = self.capture(key)
        found = self.sentence(key, setting, graph, why)
        return (found.checker, found.numbers) == (said.checker, said.numbers)


def settings_of(key: Key) -> list[PlanSetting]:
    """The settings that a model is crossed with."""
    return draw_settings(key.base, key.data_ranks, Random(f"{key.base}:{key.seed}:{key.number}"), SETTINGS)
