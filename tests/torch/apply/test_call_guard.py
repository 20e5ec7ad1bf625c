"""Calls unlike the captured one: those that the proof covers compute the right numbers, others raise before they compute."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

from tests.rank_pool import run_on_ranks
from tests.torch.apply.ranks.calls import BATCH, LENGTH, WIDTH

FLAT, DEEP = [BATCH, WIDTH], [BATCH, LENGTH, WIDTH]
NUMBERS = 1e-5
"""The largest relative error that rounding makes."""


def is_right(found: list[Any]) -> bool:
    return all(isinstance(error, float) and error < NUMBERS for error in found)


def part_after_trained_layers(**case: Any) -> list[Any]:
    return run_on_ranks(2, "torch.apply.calls:part_after_trained_layers", **case)


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize(
    ("model", "plan", "scaled"),
    [
        ("body", "bare", False),
        ("body", "root", False),
        ("body", "up", False),
        ("residual", "bare", False),
        ("body", "scale", True),
        ("residual", "scale", True),
    ],
)
def test_what_comes_before_a_part_gets_its_whole_gradient(
    model: str, plan: str, scaled: bool, asked: bool
) -> None:
    found = part_after_trained_layers(model=model, plan=plan, scaled=scaled, asked=asked)
    assert is_right(found), found


def test_a_part_that_leaves_the_gradient_of_an_input_in_parts_refuses_such_an_input() -> None:
    for found in part_after_trained_layers(model="body", plan="bare", scaled=True, asked=False):
        assert "'scale' needs a gradient, and the plan leaves that gradient in parts" in found
        assert "inputs(1: replicate -> replicate)" in found


def test_a_capture_whose_input_needs_a_gradient_refutes_the_plan() -> None:
    for found in part_after_trained_layers(model="body", plan="bare", scaled=True, asked=True):
        assert "error[L706]" in found
        assert "help: add 'root  inputs(1: replicate -> replicate)'" in found


@pytest.mark.parametrize(
    ("model", "plan", "captured", "given", "setting"),
    [
        ("head", "head", [DEEP], {"0": DEEP}, ""),
        ("head", "head", [DEEP], {"0": [2, 3, WIDTH]}, ""),  # other sizes
        ("head", "head", [DEEP], {"x": DEEP}, ""),  # by name
        ("head", "head", [DEEP], {"0": DEEP, "extra": ["int", BATCH, LENGTH, 1]}, ""),  # a mask
        ("head", "head", [DEEP], {"0": DEEP, "extra": [BATCH, LENGTH, 1]}, ""),
        ("head", "head", [DEEP, [BATCH, LENGTH, 1]], {"0": DEEP}, ""),  # no mask
        ("head", "head", [DEEP], {"0": DEEP}, "last"),  # the last dim of what comes
        ("head", "head", [DEEP], {"0": DEEP}, "training"),
        ("body", "root", [DEEP], {"x": DEEP}, ""),
        ("inner", "inner", [DEEP], {"0": DEEP}, "by_name"),
    ],
)
def test_a_call_that_the_proof_covers(
    model: str, plan: str, captured: list[list[int]], given: dict[str, Any], setting: str
) -> None:
    found = run_on_ranks(
        2, "torch.apply.calls:call", model=model, plan=plan, captured=captured, given=given, setting=setting
    )
    assert is_right(found), found


@pytest.mark.parametrize(
    ("captured", "given", "message"),
    [
        ([FLAT], {"0": DEEP}, "'x' has shape (4, 6, 8), 3 dims, and had 2 dims"),
        ([DEEP], {"x": FLAT}, "'x' has shape (4, 8), 2 dims, and had 3 dims"),
        ([DEEP], {"x": ["int", *DEEP]}, "'x' is of torch.int64, and held real numbers"),
        ([DEEP], {"0": ["list", [DEEP, DEEP]]}, "'x' is a list, and was one tensor"),
        ([DEEP], {"0": None, "extra": DEEP}, "'extra' is given in the place of 'x'"),
    ],
)
def test_a_call_that_it_does_not_cover(
    captured: list[list[int]], given: dict[str, Any], message: str
) -> None:
    for found in run_on_ranks(
        2, "torch.apply.calls:call", model="head", plan="head", captured=captured, given=given
    ):
        assert message in found
        assert "needed: a call like the captured one" in found


@pytest.mark.parametrize(
    ("given", "grad", "message"),
    [
        ({"0": FLAT}, True, "'x' has shape (4, 8), 2 dims, and had 3 dims"),
        ({"0": FLAT}, False, ""),
        ({"0": DEEP, "extra": [BATCH, LENGTH, 1]}, True, ""),
    ],
)
def test_under_units_alone_only_gradients_need_a_call_like_the_captured_one(
    given: dict[str, Any], grad: bool, message: str
) -> None:
    case = {"model": "head", "plan": "units", "captured": [DEEP], "given": given, "grad": grad}
    found = run_on_ranks(2, "torch.apply.calls:call", **case)
    assert all(message in each for each in found) if message else is_right(found), found


@pytest.mark.parametrize(
    ("setting", "grad", "name"),
    [("", True, ""), ("other", True, "second.up"), ("other", False, "second.up"), ("training", True, ""), ("training", False, "")],
)  # fmt: skip
def test_a_branch_that_was_not_captured(setting: str, grad: bool, name: str) -> None:
    case = {"model": "branches", "plan": "branches", "captured": [DEEP], "given": {"0": DEEP}}
    found = run_on_ranks(2, "torch.apply.calls:call", **case, setting=setting, grad=grad)
    if name:
        assert all(f"it calls '{name}', and the captured one did not" in each for each in found), found
    else:
        assert is_right(found), found


def test_a_batch_of_one_that_a_view_merges_with_the_sequence() -> None:
    case = {"model": "flat", "plan": "flat", "captured": [[1, LENGTH, WIDTH]]}
    found = run_on_ranks(2, "torch.apply.calls:call", **case, given={"0": [1, 4, WIDTH]})
    assert is_right(found), found
    for message in run_on_ranks(2, "torch.apply.calls:call", **case, given={"0": DEEP}):
        assert "'x' has size 4 in dim 0, and had size 1, which a view merges" in message


def test_a_batch_of_one_that_stays_a_dim() -> None:
    case = {"model": "head", "plan": "head", "captured": [[1, LENGTH, WIDTH]]}
    found = run_on_ranks(2, "torch.apply.calls:call", **case, given={"0": DEEP})
    assert is_right(found), found


def test_a_branch_of_eval_mode() -> None:
    case = {"model": "evaluates", "plan": "bare", "setting": "training"}
    found = run_on_ranks(2, "torch.apply.calls:call", **case, captured=[DEEP], given={"0": DEEP})
    assert is_right(found), found
    both = [DEEP, [BATCH, LENGTH, 1]]
    given = {str(i): shape for i, shape in enumerate(both)}
    for message in run_on_ranks(2, "torch.apply.calls:call", **case, captured=both, given=given):
        assert "another branch in eval mode, and the plan is not proved for it" in message
        assert "a dim cannot be reduced" in message or "sharded" in message
    found = run_on_ranks(2, "torch.apply.calls:call", **{**case, "setting": ""}, captured=both, given=given)
    assert is_right(found), found


@pytest.mark.parametrize(
    ("model", "plan", "kind", "message"),
    [
        ("returns", "bare", "mapping", ""),
        ("returns", "bare", "tuple", ""),
        ("layered", "layers", "more", ""),
        ("layered", "sequence", "mapping", ""),
        ("layered", "sequence", "more", "its result has a tensor at 'y', and the captured one had none"),
    ],
)
def test_more_tensors_in_a_result(model: str, plan: str, kind: str, message: str) -> None:
    for found in run_on_ranks(2, "torch.apply.calls:returned", model=model, plan=plan, kind=kind):
        assert len(found) == bool(message), found
        assert all(message in said for said in found)
