"""Violations that a plan accepts: the verdict, what the proof finds behind them, and what reports say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

import planc  # noqa: E402
from planc.check_result import Result  # noqa: E402
from planc.compile import lower  # noqa: E402
from planc.report.json_report import results_to_json  # noqa: E402
from planc.report.sarif import to_sarif  # noqa: E402
from planc.report.summary import render_results  # noqa: E402
from planc.torch.capture.trace import CaptureTarget, trace  # noqa: E402

ROWS, WIDTH = 4, 6
WHY = "statistics of each rank's own batch"


class Normed(nn.Module):
    """Two norms of the batch, and what a function makes of the result."""

    def __init__(self, after: Callable[[Any, Tensor], Any] = lambda _, y: y) -> None:
        super().__init__()
        self.after = after
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.one, self.two = nn.BatchNorm1d(WIDTH), nn.BatchNorm1d(2 * WIDTH)

    def forward(self, x: Tensor) -> Any:
        return self.after(self, self.down(self.two(self.up(self.one(x)))))


class Transformed(nn.Module):
    """A function without a rule, behind an MLP or in the middle of it."""

    def __init__(self, inside: bool) -> None:
        super().__init__()
        self.up, self.down, self.inside = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH), inside

    def forward(self, x: Tensor) -> Tensor:
        if self.inside:
            return self.down(torch.special.erfcx(self.up(x)))
        return torch.special.erfcx(self.down(self.up(x)))


def checked(module: nn.Module, *lines: str, block: str = "fsdp dp { root }", **sizes: int) -> Result:
    target = CaptureTarget("model", module, (torch.randn(ROWS, WIDTH),), {}, {}, {"torch": "2"})
    text = "\n".join(("mesh dp, tp", *lines, block, ""))
    return planc.check(planc.parse(text), model=trace(target), **{"dp": 2, "tp": 1, **sizes})


def codes(result: Result) -> list[str]:
    return [each.law.code for each in result.diagnostics if each.law.code != "M201"]


def test_what_is_accepted_is_counted_and_nothing_else_is_silenced() -> None:
    assert codes(checked(Normed())) == ["L709"]
    one = checked(Normed(), f'accept L709 at one "{WHY}"')
    assert (one.verdict, codes(one)) == ("refuted", ["L709"])
    both = checked(Normed(), f'accept L709 at **:BatchNorm1d "{WHY}"')
    assert (both.verdict, codes(both)) == ("proved", [])
    (accepted,) = both.accepted
    assert (accepted.modules, accepted.reason) == (("one", "two"), WHY)
    assert lower(both).fsdp is not None


@pytest.mark.parametrize(
    ("after", "found"),
    [
        (lambda _, y: y - y.mean(0), ["L709"]),
        (lambda _, y: y.square().sum(), ["L709"]),
        (lambda _, y: y.square().mean(), []),
        (lambda _, y: y.flip(0), ["L709"]),
        (lambda _, y: torch.special.erfcx(y), ["L713"]),
    ],
)
def test_what_is_behind_an_accepted_violation_is_judged(after: Callable[..., Any], found: list[str]) -> None:
    result = checked(Normed(after), f'accept L709 at **:BatchNorm1d "{WHY}"')
    assert codes(result) == found
    assert [each.modules for each in result.accepted] == [("one", "two")]


def test_a_statistic_that_is_accepted_is_a_mean_over_the_ranks() -> None:
    def with_deviation() -> nn.Module:
        return Normed(lambda _, y: (y, y.std(0).mean()))

    norms = f'accept L709 at **:BatchNorm1d "{WHY}"'
    assert codes(checked(with_deviation(), norms)) == ["L709"]
    assert checked(with_deviation(), norms, 'accept L709 at root "of each part"').verdict == "proved"


def test_an_operation_without_a_rule() -> None:
    tensor = "tensor tp {\n    up colwise\n    down rowwise\n}"
    sizes = {"dp": 1, "tp": 2}
    assert checked(Transformed(inside=False), block=tensor, **sizes).verdict == "unproved"
    for inside in (False, True):
        accept = 'accept L713 at root "entry by entry"'
        result = checked(Transformed(inside), accept, block=tensor, **sizes)
        assert (result.verdict, len(result.accepted)) == ("proved", 1)
        changes = {name: len(each.inputs) for name, each in lower(result).tensor[0].modules.items()}
        assert set(changes) == {"up", "down"}


def test_laws_of_tensor_axes_are_not_silenced() -> None:
    class Wrong(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

        def forward(self, x: Tensor) -> Tensor:
            return self.down(self.up(x).softmax(-1))

    block = "tensor tp {\n    up colwise\n    down rowwise\n}"
    result = checked(Wrong(), 'accept L709 at ** "no"', 'accept L713 at ** "no"', block=block, dp=1, tp=2)
    assert codes(result) == ["L704"]
    assert not result.accepted


def test_reports_have_what_is_accepted() -> None:
    result = checked(Normed(), f'accept L709 at one "{WHY}"', 'accept L709 at two "so there"')
    text = render_results([result])
    assert "proved on dp=2 x tp=1, 2 accepted" in text
    assert f"  accepted L709 at one: {WHY}\n" in text
    assert "accepted L709" not in render_results([result], quiet=True)
    (found,) = json.loads(results_to_json([result]))["results"]
    assert [
        (one["code"], one["module"], one["reason"], one["accepted_by"]["line"]) for one in found["accepted"]
    ] == [
        ("L709", "one", WHY, 3),
        ("L709", "two", "so there", 4),
    ]
    results = json.loads(to_sarif([result]))["runs"][0]["results"]
    suppressed = [one for one in results if "suppressions" in one]
    assert [one["ruleId"] for one in suppressed] == ["L709", "L709"]
    assert [one["suppressions"][0]["justification"] for one in suppressed] == [WHY, "so there"]
    assert all(one["suppressions"][0]["kind"] == "inSource" for one in suppressed)


def test_a_report_says_what_to_write() -> None:
    result = checked(Normed())
    notes = [note for each in result.diagnostics for note in each.notes]
    assert 'or: accept L709 at one "WHY"' in notes
