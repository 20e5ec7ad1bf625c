"""Means over a batch that ranks share: what the proof says of them, and the numbers of two ranks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("torch")

import planc
from planc.check_result import Result
from planc.compile import check_document, lower
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.syntax.read_file import read_source
from planc.torch.apply.call_guard import guard_calls
from planc.torch.capture.from_reference import capture_reference
from planc.torch.verify.lowering import lower_for_verify
from planc.torch.verify.model_under_test import build_model_under_test
from planc.torch.verify.rank_pool import RankPool
from planc.torch.verify.verify_plan import make_rank_pool, prepare_to_fork, verify_plan
from tests.proof.mean_losses import CASES, build

PLAN = "mesh dp\nfsdp dp {\n    root\n}\n"


@pytest.fixture(scope="module")
def pool() -> Iterator[RankPool]:
    prepare_to_fork()
    ranks = make_rank_pool()
    yield ranks
    ranks.close()


def reference_of(name: str) -> str:
    return f"tests.proof.mean_losses:case_{list(CASES).index(name)}"


def checked(reference: str) -> Result:
    document = read_source(Source("loss.plan", PLAN))
    return check_document(document, Settings({"dp": 2}), capture_reference(reference, []))


@pytest.mark.parametrize("name", CASES)
def test_the_proof_says_what_the_numbers_say(name: str, pool: RankPool) -> None:
    case, reference = CASES[name], reference_of(name)
    result = checked(reference)
    said = [" ".join((each.label.text, *each.notes)) for each in result.diagnostics]
    assert result.verdict == case.verdict, said
    assert any(case.message in each for each in said) or not case.message, said
    subject = build_model_under_test(reference, 0)
    numbers = verify_plan(
        lower_for_verify(result), reference, subject=subject, pool=pool, scenarios=["plain"]
    )
    assert (numbers.verdict == "right") is case.right, [row for row in numbers.rows if not row.ok]


def guarded(name: str) -> tuple[Any, tuple[Any, ...]]:
    """The model of a case with the check of its calls alone, and its inputs."""
    model, inputs = build(name)
    guard_calls(model, lower(checked(reference_of(name))))
    return model, inputs


def test_a_batch_with_targets_that_the_mean_leaves_out_is_refused() -> None:
    model, (x, targets) = guarded("beside the logits")
    model(x, targets)
    targets[1, 2] = -100
    with pytest.raises(planc.CallError, match=r"'targets' has entries that are -100"):
        model(x, targets)


def test_only_targets_that_may_be_left_out_are_looked_at() -> None:
    model, (x, targets) = guarded("its own number to leave out")
    model(x, targets)
    targets[0, 0] = -1
    with pytest.raises(planc.CallError, match="entries that are -1"):
        model(x, targets)
    for name in ("sum over the entries", "of squares", "labels that are tokens"):
        inputs = lower(checked(reference_of(name))).inputs
        assert not any(each.forbidden_entries for each in inputs.values()), name
