"""What the proof says of code that reads what a plan changes in modules, and that proved plans compute what the unsplit
model does."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from planc.compile import check_document
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.syntax.read_file import read_source
from planc.torch.capture.trace import CaptureTarget, trace
from tests.rank_pool import run_on_ranks
from tests.torch.apply.ranks.module_state import CASES, example_input, plan_of


@pytest.mark.parametrize("name", CASES)
def test_verdict(name: str) -> None:
    factory, rules, expected = CASES[name]
    graph = trace(CaptureTarget("state", factory(), (example_input(name),), {}, {}, {"torch": "2"}))
    result = check_document(read_source(Source("state.plan", plan_of(rules))), Settings({"tp": 2}), graph)
    found = {diagnostic.law.code for diagnostic in result.diagnostics if diagnostic.is_error}
    verdict = expected if expected in ("proved", "unproved") else "refuted"
    assert (result.verdict, found) == (verdict, {expected} if verdict == "refuted" else set())


def test_numbers() -> None:
    right = [name for name, (_, _, expected) in CASES.items() if expected == "proved"]
    errors = run_on_ranks(2, "torch.apply.module_state:worst_errors", names=right)[0]
    assert errors.keys() == set(right)
    assert {name: error for name, error in errors.items() if error > 1e-5} == {}


def test_a_compiled_region_has_the_sizes_of_a_rank() -> None:
    """Code that needs the global size is not proved where it is compiled: `parallelize` would refuse it."""
    name = "the width of heads from a weight"
    factory, rules, _ = CASES[name]
    graph = trace(CaptureTarget("state", factory(), (example_input(name),), {}, {}, {"torch": "2"}))
    for region, verdict in ({"attn": "unproved", "attn.o": "proved"}).items():
        plan = plan_of(rules) + f"compile {{ {region} }}\n"
        result = check_document(read_source(Source("state.plan", plan)), Settings({"tp": 2}), graph)
        assert (result.verdict, bool(result.skipped)) == (verdict, verdict == "unproved")
