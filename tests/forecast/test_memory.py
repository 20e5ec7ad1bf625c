"""What operations of a graph save for the backward pass, in bytes, against a calculation by hand."""

from __future__ import annotations

from typing import Any

import pytest

from planc.forecast.memory import saved_bytes
from planc.ir.graph import Function, Op, SymNumber, TensorInfo, Value, WeightRef
from planc.proof.saved_by_operation import saved_tensors

X = TensorInfo((2, 4, 8), "bfloat16", True)
WEIGHTS = {"weight": TensorInfo((16, 8), "bfloat16", True), "frozen": TensorInfo((16, 8), "bfloat16")}


def step(
    name: str, *arguments: Any, result: TensorInfo, x: TensorInfo = X, **keywords: Any
) -> tuple[Function, Op]:
    """A function with one operation on x."""
    op = Op(name, arguments, keywords, (1,))
    return Function(1, (x, result), (op,), Value(1), (1,)), op


def bytes_of(name: str, *arguments: Any, **keywords: Any) -> int | None:
    return saved_bytes(*step(name, *arguments, **keywords), WEIGHTS.get)


def test_a_linear_layer_saves_its_input_for_the_gradient_of_its_weight() -> None:
    result = TensorInfo((2, 4, 16), "bfloat16", True)
    assert bytes_of("linear", Value(0), WeightRef("weight"), result=result) == 2 * 4 * 8 * 2
    assert bytes_of("linear", Value(0), WeightRef("frozen"), result=result) == 0
    saved = saved_tensors(*step("linear", Value(0), WeightRef("frozen"), result=result), WEIGHTS.get)
    assert saved is not None
    assert [tensor.info.shape for tensor in saved] == [(16, 8)]


def test_a_normalization_saves_statistics() -> None:
    x = TensorInfo((2, 4, 8), "float32", True)
    operands = (Value(0), (8,), None, None, 1e-5)
    assert bytes_of("layer_norm", *operands, result=x, x=x) == (2 * 4 * 8 + 2 * (2 * 4)) * 4


def test_a_number_that_the_code_read_is_that_of_the_captured_run() -> None:
    groups = SymNumber("attribute", ("groups",), 1)
    result = TensorInfo((2, 4, 8), "bfloat16", True)
    weight = TensorInfo((4, 4, 1), "bfloat16")
    arguments = (Value(0), WeightRef("w"), None, 1, 0, 1, groups)
    assert saved_bytes(*step("conv1d", *arguments, result=result), {"w": weight}.get) == 0


def test_without_a_gradient_nothing_is_saved() -> None:
    constant = TensorInfo((2, 4, 8), "bfloat16")
    assert bytes_of("exp", Value(0), result=constant, x=constant) == 0


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("no such operation", (Value(0),)),
        ("dropout", (Value(0), 0.1)),
        ("einsum", ("ab,bc->ac", Value(0), Value(0))),
        ("layer_norm", (Value(0),)),
        ("cross_entropy", (Value(0), "a text")),
    ],
)
def test_what_planc_does_not_know(name: str, arguments: tuple[Any, ...]) -> None:
    assert bytes_of(name, *arguments, result=X) is None
