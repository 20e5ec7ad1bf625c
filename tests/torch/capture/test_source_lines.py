"""Where the model's code is: in graphs, and in what is said of sizes."""

from __future__ import annotations

import inspect

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

import planc
from planc.check_result import Result
from planc.graph.graph_reader import graph_from_bytes
from planc.graph.graph_writer import graph_to_bytes
from planc.ir.graph import ModelGraph
from planc.proof.source_expression import source_expression
from tests.torch.capture.tiny import graph_of

PLAN = """
mesh tp
tensor tp {
    root   inputs(0: replicate -> replicate) ATTRIBUTES
    q      colwise
    o      rowwise
}
"""


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.o, self.n_head = nn.Linear(8, 8), nn.Linear(8, 8), 4

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.size()
        y = self.q(x).view(batch, length, self.n_head, width // self.n_head)
        y = y.softmax(-1).reshape(
            (batch, length, -1),
        )
        return self.o(y)


FIRST = inspect.getsourcelines(Heads.forward)[1]


def graph() -> ModelGraph:
    return graph_of(Heads(), torch.empty(2, 3, 8))


def check(attributes: str) -> Result:
    plan = planc.parse(PLAN.replace("ATTRIBUTES", attributes))
    return planc.check(plan, tp=2, model=graph())


def test_a_graph_has_the_lines_of_operations_with_numbers() -> None:
    made = graph()
    (lines,) = made.source_lines.values()
    assert list(lines.values()) == [
        f"test_source_lines.py:{FIRST + 2}: self.q(x).view(batch, length, self.n_head, width // self.n_head)",
        f"test_source_lines.py:{FIRST + 3}: y.softmax(-1)",
        f"test_source_lines.py:{FIRST + 3}: y.softmax(-1).reshape( (batch, length, -1), )",
    ]
    assert graph_from_bytes(graph_to_bytes(made)) == made


def test_a_number_from_the_whole_model_and_from_a_rank() -> None:
    (found,) = [each for each in check("attributes(n_head: 4 // tp)").diagnostics if each.is_error]
    assert found.law.code == "L707"
    assert found.label.text == "'width // self.n_head' is 4 on a rank, 2 in the whole model"
    notes = "\n".join(found.notes)
    assert f"code: test_source_lines.py:{FIRST + 2}: self.q(x).view(" in notes
    assert "the size of dim 2 of a value that is replicate" in notes
    assert "8 on every rank; the attribute n_head, 2 on a rank, of 4" in notes
    assert "needed: -1 in its place" in notes


def test_a_size_that_the_code_writes_out() -> None:
    (found,) = [each for each in check("").diagnostics if each.is_error]
    assert found.law.code == "L708"
    assert found.label.text == "'self.n_head' is 4, where a rank has 2 along dim 2"
    assert f"code: test_source_lines.py:{FIRST + 2}: " in "\n".join(found.notes)


@pytest.mark.parametrize(
    ("line", "arguments", "expected"),
    [
        ("m.py:1: x.view(a, b // 2)", ("x", 1, 7), "b // 2"),
        ("m.py:1: x.view((a, b))", ("x", (1, 7)), "b"),
        ("m.py:1: torch.zeros(a, b)", (1, 7), "b"),
        ("m.py:1: x.view(*sizes)", ("x", 1, 7), ""),
        ("m.py:1: x.view(a, size=b)", ("x", 7), ""),
        ("m.py:1: x[:b]", ("x", 7), ""),
        ("m.py:1", ("x", 7), ""),
    ],
)
def test_the_expression_of_a_number(line: str, arguments: tuple[object, ...], expected: str) -> None:
    assert source_expression(line, arguments, lambda item: item == 7) == expected
