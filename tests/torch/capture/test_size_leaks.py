# ruff: noqa: SIM300
"""Sizes that code smuggles out of sight: a plan that splits the dim is never called right.

The first layer's output features are split, and the code between it and the last layer reads
their number, in every way that Python offers; whatever it does with it, the ranks would do
with their own.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import planc  # noqa: E402
from planc.ir.styles import style_attributes  # noqa: E402
from planc.torch.capture.trace import TraceError  # noqa: E402
from tests.torch.capture.size_leaks import SIZE_READS  # noqa: E402
from tests.torch.capture.tiny import FunctionModule, graph_of, steps, steps_of, x  # noqa: E402

SIZE = {"size": ["%0", 1], "is": 6}
SPLIT = "mesh tp\ntensor tp {\n    first  colwise\n    last   rowwise\n}\n"
WHOLE = "mesh tp\ntensor tp {\n    first  colwise -> replicate\n}\n"


class Between(nn.Module):
    """Code between two layers; its sizes are 2 and 8."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8, bias=False), nn.Linear(8, 6, bias=False)
        self.body = FunctionModule(function)
        self.body.heads = 8

    def forward(self, x: Any) -> Any:
        return self.last(self.body(self.first(x)))


def verdict(function: Any, plan: str) -> str:
    graph = graph_of(Between(function), torch.empty(2, 6))
    return str(planc.check(planc.parse(plan), tp=2, model=graph).verdict)


RAISES = {"ldexp", "int's own method", "decimal", "json", "item of full"}
"""What takes nothing but an int: such a model is refused."""
UNKNOWN = {"cut list", "numpy to torch", "autograd function", "autograd function that leaves it"}
"""What is not proved for other reasons."""


@pytest.mark.parametrize("name", SIZE_READS)
def test_a_size_is_never_out_of_sight(name: str) -> None:
    def body(y: Any) -> Any:
        return y * SIZE_READS[name](y)

    if name in RAISES:
        with pytest.raises(TraceError):
            verdict(body, SPLIT)
        return
    assert verdict(body, SPLIT) in ("refuted", "unproved")
    if name not in UNKNOWN:
        assert verdict(body, WHOLE) == "proved"


def test_the_plan_is_right_where_nothing_is_read() -> None:
    for constant in (2.0, 0.5):
        assert verdict(lambda y, c=constant: y * c, SPLIT) == "proved"
    assert verdict(lambda y: y * (1.0 / y.shape[0]), SPLIT) == "proved"
    assert verdict(lambda y: y * len(range(len(y))), SPLIT) == "proved"


class Shared(Between):
    """Code that reads an attribute, which is eight."""

    def __init__(self, function: Any) -> None:
        super().__init__(None)
        self.body.function = lambda y: y.view(2, self.body.heads, -1).flatten(1) * function(self.body.heads)


@pytest.mark.parametrize(
    "function",
    [lambda n: 1.0 / n, lambda n: 2.0 if 5.0 < n else 1.0, lambda n: len(range(n)), lambda n: math.log(n / 2),
     lambda n: [1.0, *range(20)][n], lambda n: int(f"{n}")],
    ids=range(6),
)  # fmt: skip
def test_an_attribute_that_a_plan_sets_is_never_out_of_sight(function: Any) -> None:
    share = SPLIT.replace("    last", "    body   attributes(heads: 8 // tp)\n    last")
    for code, proved in ((function, False), (lambda _: 2.0, True)):
        graph = graph_of(Shared(code), torch.empty(2, 6))
        found = planc.check(planc.parse(share), tp=2, model=graph).verdict
        assert (found == "proved") is proved


def test_attributes_that_styles_divide_are_known() -> None:
    assert style_attributes() == {"nf"}


def test_strides_are_computed_from_sizes() -> None:
    assert steps(lambda x: x * x.stride()[0])[-1][1] == ["%0", {"mul": [SIZE, 1], "is": 6}]
    assert steps(lambda x: x * x.T.stride(1))[0][0] == "T"
    numel = {"numel": ["%1"], "is": 6}
    assert steps(lambda x: x * x[:, ::2].stride()[0])[1] == ["number.lost", [numel], {}, []]


def test_parts_that_code_may_count_are_kept() -> None:
    assert [step[0] for step in steps(lambda x: x * len(x.split(2, 1)))] == ["split", "mul"]


def test_what_leaves_the_model_is_noted() -> None:
    assert steps(lambda x: (x, x.shape[1])) == [["number.lost", [SIZE], {}, []]]


def test_an_attribute_that_is_an_index_is_noted_where_a_plan_can_set_it() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depth, self.heads = 2, 3

        def forward(self, x: Any) -> Any:
            for _ in range(self.depth):
                x = x.cos()
            return x.view(self.heads, -1) * len(range(self.heads))

    heads = {"attribute": ["'heads"], "is": 3}
    found = steps_of(graph_of(Model(), x()))
    assert [step[0] for step in found] == ["cos", "cos", "view", "number.lost", "mul"]
    assert found[3][1] == [heads]
