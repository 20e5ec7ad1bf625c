"""What a proved plan tells each module: one thing for all calls of it, or the plan is not applied."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from planc.compile import check_document  # noqa: E402
from planc.ir.lowered import LocalLayout, Lowered, LoweredChange  # noqa: E402
from planc.ir.resolved import Settings  # noqa: E402
from planc.ir.source import Source  # noqa: E402
from planc.lower.lower_plan import lower_binding  # noqa: E402
from planc.lower.lowering_error import LoweringError  # noqa: E402
from planc.syntax.read_file import read_source  # noqa: E402
from tests.torch.capture.tiny import graph_of  # noqa: E402

PAIR = ("{0}.up  colwise", "{0}.down  rowwise")
SUMS = "{0}  inputs(0: replicate -> replicate)"


class Pair(nn.Module):
    """Two layers, and what another module gives beside them."""

    def __init__(self, extra: Any = None) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(6, 8, bias=False), nn.Linear(8, 6, bias=False)
        self.extra = [extra]

    def forward(self, x: Any) -> Any:
        y = self.down(self.up(x))
        return y if self.extra[0] is None else y + self.extra[0](x)


class Twice(nn.Module):
    """A module that is called by the model, and by another module."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.one = nn.Linear(6, 6), Pair()
        self.two = Pair(self.one)

    def forward(self, x: Any, constant: Any) -> Any:
        x = self.first(x)
        return self.one(x) + self.two(x) + self.one(constant)


def lowered(*rules: str) -> Lowered:
    """What the plan tells."""
    return of_model(Twice(), 2, *rules)


def of_model(model: nn.Module, inputs: int, *rules: str) -> Lowered:
    """What the plan tells a model."""
    graph = graph_of(model, *[torch.empty(2, 6) for _ in range(inputs)])
    text = "mesh tp\ntensor tp {\n" + "".join(f"    {rule}\n" for rule in rules) + "}\n"
    result = check_document(read_source(Source("twice.plan", text)), Settings({"tp": 2}), graph)
    assert result.verdict == "proved"
    assert result.binding is not None
    assert result.proof is not None
    return lower_binding(result.binding, result.proof)


def of(module: str, *rules: str) -> list[str]:
    return [rule.format(module) for rule in rules]


def test_a_module_that_sums_in_one_call_and_not_in_another_is_not_lowered() -> None:
    # Within `two`, whose boundary sums, the gradient would be summed twice.
    with pytest.raises(LoweringError, match="one is called in two ways that differ at its boundary"):
        lowered(*of("one", SUMS, *PAIR), *of("two", SUMS, *PAIR))


class Learned(nn.Module):
    """A module that is handed a tensor, and then a parameter in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.one, self.start = nn.Linear(6, 6), Pair(), nn.Linear(6, 2, bias=False)

    def forward(self, x: Any) -> Any:
        return self.one(self.first(x)) + self.one(self.start.weight)


def test_a_parameter_where_another_call_hands_a_tensor_is_not_lowered() -> None:
    with pytest.raises(LoweringError, match="one is handed a parameter in one call"):
        of_model(Learned(), 1, "{first,start}  replicate", *of("one", SUMS, *PAIR))


def test_a_module_that_sums_in_every_call_is() -> None:
    found = lowered(*of("one", SUMS, *PAIR), *of("two", *PAIR))
    # One call is handed what has no gradient: a sum does nothing to that.
    assert found.tensor[0].modules["one"].inputs == (
        LoweredChange((0,), LocalLayout("invariant"), LocalLayout("replicated")),
    )
