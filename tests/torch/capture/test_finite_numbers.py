"""Code that looks whether all numbers are finite takes the branch of a training that goes well."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from planc.torch.capture.trace import TraceError  # noqa: E402
from planc.torch.compat import DataDependentOutputException  # noqa: E402
from tests.torch.capture.tiny import FunctionModule, graph_of, steps_of, x  # noqa: E402


def names(function: Any) -> list[str]:
    return [step[0] for step in steps_of(graph_of(FunctionModule(function), x(2, 4)))]


def clamp_if_not_finite(value: Any) -> Any:
    if not torch.isfinite(value).all():
        value = value.clamp(-1, 1)
    return value.exp()


def clamp_if_infinite(value: Any) -> Any:
    if torch.isinf(value).any() or value.isnan().any():
        value = value.clamp(-1, 1)
    return value.exp()


@pytest.mark.parametrize("function", [clamp_if_not_finite, clamp_if_infinite])
def test_numbers_are_finite(function: Any) -> None:
    assert "exp" in names(function)
    assert "clamp" not in names(function)
    value = torch.ones(2, 4)
    assert torch.equal(function(value), value.exp())  # what a training run does


@pytest.mark.parametrize(
    "function",
    [
        lambda value: value if torch.isfinite(value).any() else -value,
        lambda value: value if torch.isinf(value).all() else -value,
        lambda value: value if (value > 0).all() else -value,
        lambda value: value if (torch.isfinite(value) & (value > 0)).all() else -value,
    ],
)
def test_other_questions_about_values_are_refused(function: Any) -> None:
    with pytest.raises(TraceError) as raised:
        graph_of(FunctionModule(function), x(2, 4))
    assert isinstance(raised.value.raised, DataDependentOutputException)
