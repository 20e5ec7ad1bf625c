"""planc's verdict against numbers: every shipped family, split by hand on two processes.

A variant of a plan that planc proves must give the logits and every gradient of the unsplit
model, with just the communication that the proof says; one that it does not prove must not.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planc.check_result import Result
from planc.compile import check_document
from planc.ir.graph import ModelGraph
from planc.ir.resolved import Settings
from planc.syntax.read_file import read_path
from tests.judge import cases, plans
from tests.judge.cases import Variant
from tests.judge.families import FAMILIES, Family
from tests.judge.verdicts import judge, toy_plan
from tests.plans.test_shipped_plans import WRONG as VARIANTS
from tests.plans.test_shipped_plans import edited_files
from tests.rank_pool import ROOT
from tests.shared_files import captured_graph

OF_UNITS = {"F611", "F612", "F613"}
"""Laws about FSDP, which two ranks of a tensor group have none of."""
RIGHT_AT_LEAST, WRONG_AT_LEAST = 3, 5
BY_TORCH = ("llama", "qwen2", "mistral", "neox")
"""Families that torch's own styles are asked about too; it unties tied weights, and cuts no fused ones."""
SHIPPED = (Variant("as it is shipped"), Variant("as it is shipped, whole sequence", split=False))


def check_variant(family: Family, variant: Variant, graph: ModelGraph) -> Result:
    path, options = str(ROOT / "plans" / f"{family.plan}.plan"), {"sequence_parallel": variant.split}
    lines = plans.apply_edits(plans.flat_rules(path, graph.facts, options), variant.edits)
    return plans.check_text(plans.plan_text(lines), graph)


def variants_of(name: str, graph: ModelGraph, folder: Path) -> Iterator[tuple[str, Result]]:
    """The wrong variants of tests/plans/families that two ranks can have."""
    for number, wrong in enumerate(variant for variant in VARIANTS if variant.name == name):
        flags = dict(zip(wrong.flags[::2], wrong.flags[1::2], strict=True))
        if "--model" in flags or flags.get("--tp", "2") not in ("2", "4"):
            continue
        if {code for code, _ in wrong.expected} <= OF_UNITS:
            continue
        options = dict(pair.split("=") for flag, pair in zip(wrong.flags, wrong.flags[1:]) if flag == "--set")
        here = folder / str(number)
        here.mkdir()
        for file, lines in edited_files(wrong).items():
            (here / file).write_text("\n".join(lines) + "\n", "utf-8")
        settings = Settings(plans.SIZES, options={key: value == "true" for key, value in options.items()})
        yield wrong.title, check_document(read_path(str(here / f"{name}.plan")), settings, graph)


def judge_result(family: Family, result: Result) -> list[str | None]:
    """What is wrong, by the numbers, under each reading of «replicate» that planc leaves open."""
    case: dict[str, Any] = plans.rules_as_data(result.resolved)
    policies = ["found", "grouped"]
    if result.verdict == "proved":
        case["claimed"], policies = plans.backward_claims(result), ["claimed"]
    found: list[str | None] = []
    for policy in policies:
        found.append(judge(family.model, family.settings, case, policy))
        if found[-1] is None:
            break
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_the_numbers_agree(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    graph = captured_graph(family.reference)
    results = [
        (v.title, True, check_variant(family, v, graph)) for v in (*SHIPPED, *cases.RIGHT.get(name, ()))
    ]
    results += [(v.title, False, check_variant(family, v, graph)) for v in cases.WRONG.get(name, ())]
    results += [(title, False, result) for title, result in variants_of(name, graph, tmp_path)]
    faults: list[str] = []
    asked = 0
    count = {True: 0, False: 0}
    for title, right, result in results:
        wrong = judge_result(family, result)
        codes = sorted({fault.law.code for fault in result.diagnostics})
        message = f"{title}: planc says {result.verdict} {codes}, the numbers say {wrong}"
        if f"{name}: {title}" in cases.STRICT:
            if result.verdict == "proved" or None not in wrong:
                faults.append(f"no strictness any more: {message}")
            continue
        count[right] += 1
        if not (right == (result.verdict == "proved") == (None in wrong)):
            faults.append(message)
        if name in BY_TORCH and plans.torch_can_express(plans.rules_as_data(result.resolved)["rules"]):
            asked += 1
            case = plans.rules_as_data(result.resolved)
            wrong_by_torch = judge(family.model, family.settings, case, "torch")
            if right != (wrong_by_torch is None):
                faults.append(f"{title}: torch's own styles say {wrong_by_torch}")
    assert not faults, "\n".join(faults)
    assert count[True] >= RIGHT_AT_LEAST, f"{count[True]} right variants"
    assert name not in BY_TORCH or asked >= RIGHT_AT_LEAST + WRONG_AT_LEAST
    assert count[False] >= WRONG_AT_LEAST, f"{count[False]} wrong variants"


@pytest.mark.parametrize("name", sorted({name for name, _, _ in cases.TOYS}))
def test_the_numbers_agree_on_toys(name: str) -> None:
    toy = Family(name, f"toy:{name}", {})
    graph, lines = captured_graph(toy.reference), toy_plan(name)
    faults: list[str] = []
    for own_name, right, variant in cases.TOYS:
        if own_name != name:
            continue
        result = plans.check_text(plans.plan_text(plans.apply_edits(lines, variant.edits)), graph)
        wrong = judge_result(toy, result)
        agree = right == (result.verdict == "proved") == (None in wrong)
        known = f"{name}: {variant.title}" in cases.UNSOUND
        if agree == known:
            word = "mended: take it off the list: " if known else ""
            faults.append(f"{word}{variant.title}: planc says {result.verdict}, the numbers say {wrong}")
    assert not faults, "\n".join(faults)
