"""What `planc verify` prints, and the inputs that it runs models on."""

from __future__ import annotations

import io
import math

import torch
from rich.console import Console
from torch import Tensor, nn

from planc.ir.verify_result import ScenarioRun, TensorComparison, VerifyResult
from planc.report.verify_report import format_error, print_verify_report, verify_report_to_json, worst_rows
from planc.torch.verify.model_under_test import ModelUnderTest, build_model_under_test
from planc.torch.verify.scenarios import Scenario, make_scenarios

ROWS = (
    TensorComparison("output", "logits", "plain", 0.25),
    TensorComparison("gradient", "up.weight", "plain", 1234.5),
    TensorComparison("gradient", "up.weight", "padded", 20.0),
    TensorComparison("gradient", "down.weight", "plain", math.inf, "is missing"),
    TensorComparison("weight", "up.weight", "plain", 99.0),
    TensorComparison("weight", "norm.weight", "plain", 3.0),
)


def rendered_lines(found: VerifyResult, *, every: bool = False) -> list[str]:
    out = io.StringIO()
    print_verify_report(
        found, ["made smaller: n 4 -> 2"], show_all=every, console=Console(file=out, width=100)
    )
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_each_parameter_once_and_weights_only_alone() -> None:
    shown = [(row.kind, row.name, row.error) for row in worst_rows(ROWS)]
    assert shown == [
        ("gradient", "down.weight", math.inf),
        ("gradient", "up.weight", 1234.5),
        ("output", "logits", 0.25),
    ]
    right = [row for row in ROWS if row.is_right]
    assert [row.name for row in worst_rows(right)] == ["norm.weight", "logits"]


def test_the_table() -> None:
    ran = (
        ScenarioRun("plain"),
        ScenarioRun("padded"),
        ScenarioRun("odd length", "ValueError: planc: no", is_allowed=True),
    )
    found = VerifyResult(
        "my.plan", "hf:Net?n=2", {"dp": 1, "tp": 2}, 7, "wrong", ROWS, ran, (), ("L706 in parts",)
    )
    assert rendered_lines(found) == [
        "my.plan on dp=1 x tp=2, seed 7: hf:Net",
        "  made smaller: n 4 -> 2",
        "planc check does not prove this plan; planc verify runs it as it is written:",
        "  L706 in parts",
        "",
        "error         what      name                     run    rule",
        "  inf  wrong  gradient  down.weight: is missing  plain  no rule",
        "1,234  wrong  gradient  up.weight                plain  no rule",
        "an error of 1 is what rounding in float32 explains",
        "and 1 more are ok, with errors up to 0.25",
        "odd length: rejected with a clear error, which is allowed: ValueError: planc: no",
        "",
        "my.plan: wrong: 2 of 3 tensors in 2 runs (plain, padded) have errors above 16",
    ]
    assert sum("weight" in line for line in rendered_lines(found, every=True)) == 5


def test_amounts() -> None:
    assert [format_error(x) for x in (0.0, 0.123, 99.994, 100.4, 1234567.0, 2e12, math.inf)] == [
        "0.00", "0.12", "99.99", "100", "1,234,567", "2.0e+12", "inf",
    ]  # fmt: skip


def test_json_has_no_infinity() -> None:
    found = VerifyResult("my.plan", "m", {}, 0, "wrong", ROWS)
    assert "Infinity" not in verify_report_to_json(found)


class Net(nn.Module):
    """Takes rows of six tokens of two numbers; or of a batch of four alone."""

    def __init__(self, batch: int | None = None) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.batch = batch

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        shown = x if self.batch is None else x.view(self.batch, 12)
        return self.layer(shown.reshape(-1, 6, 2))


def scenarios_of_factory(model: nn.Module, *args: Tensor) -> dict[str, Scenario]:
    subject = ModelUnderTest(model, args, {}, None)
    scenarios = make_scenarios(subject, tensor_ranks=2, data_ranks=2, seed=0)
    return {scenario.name: scenario for scenario in scenarios}


def test_runs_of_a_factory() -> None:
    given = torch.randn(4, 6, 2)
    found = scenarios_of_factory(Net(), given)
    assert list(found) == ["plain", "another batch"]
    assert found["plain"].args[0] is given
    (other,) = found["another batch"].args
    assert other.shape == (6, 6, 2)  # three rows for each of two data ranks
    assert not torch.equal(other[:3], other[3:])


def test_a_batch_that_cannot_be_told_is_left_alone() -> None:
    given = torch.randn(4, 6, 2)
    assert list(scenarios_of_factory(Net(4), given)) == ["plain"]  # its code says four
    assert list(scenarios_of_factory(Net(), given, torch.ones(6))) == [
        "plain"
    ]  # an input of another first dim


def scenarios_of_tokens(tensor_ranks: int, data_ranks: int) -> dict[str, Scenario]:
    reference = "hf:LlamaForCausalLM?hidden_size=16&intermediate_size=24&num_hidden_layers=1&vocab_size=40&pad_token_id=7"
    subject = build_model_under_test(f"{reference}&num_attention_heads=2&num_key_value_heads=2", 0)
    scenarios = make_scenarios(subject, tensor_ranks=tensor_ranks, data_ranks=data_ranks, seed=0)
    return {scenario.name: scenario for scenario in scenarios}


def test_runs_of_tokens() -> None:
    for ranks in (1, 2, 3, 16):
        found = scenarios_of_tokens(ranks, 2)
        assert list(found)[:3] == ["plain", "padded", "another shape"]
        lengths = {name: run.kwargs["input_ids"].shape[1] for name, run in found.items()}
        odd = lengths.pop("odd length", None)
        assert (odd is None) == (ranks == 1)
        assert odd is None or (odd % ranks and found["odd length"].may_raise)
        # Each rank has more than one token: a dim of one is broadcast.
        assert all(length % ranks == 0 and length >= 2 * ranks for length in lengths.values())
        for run in found.values():
            ids = run.kwargs["input_ids"]
            rows = len(ids) // 2
            assert not torch.equal(ids[:rows], ids[rows:])
            # The ids of Llama's begin and end, and of padding.
            assert not set(ids.flatten().tolist()) & {1, 2, 7}
            assert int(ids.max()) < 40


def test_padding_lies_on_both_sides() -> None:
    mask = scenarios_of_tokens(2, 1)["padded"].kwargs["attention_mask"]
    first, last = mask[:, 0].tolist(), mask[:, -1].tolist()
    assert 0 in first
    assert 0 in last
    assert all(mask.sum(1) > 0)
