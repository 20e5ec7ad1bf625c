"""Operations that compute every entry of the result from the entries at its place."""

from __future__ import annotations

from planc.layouts.factors import Labels, Term, shared
from planc.layouts.operation import NotKnown, Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.types import PARTIAL, Type


def aligned(operand: Operand, shape: tuple[int, ...]) -> Labels:
    """The dims of an operand by those of the result that it is broadcast to."""
    missing = len(shape) - operand.ndim
    if missing < 0:
        raise NotKnown("an operand has more dims than the result")
    return tuple(None if size == 1 and shape[missing + d] != 1 else missing + d for d, size in enumerate(operand.shape))


def broadcast(operation: Operation) -> tuple[list[Term], Labels]:
    """The operands of a pointwise operation, and the result, with labels."""
    shape = operation.results[0].shape
    return [(o, aligned(o, shape)) for o in operation.operands()], tuple(range(len(shape)))


@rule(
    "silu", "gelu", "relu", "sigmoid", "tanh", "exp", "log", "sqrt", "rsqrt", "cos", "sin", "pow", "__pow__",
    "abs", "eq", "ne", "lt", "le", "gt", "ge", "__and__", "__or__", "__invert__", "logical_not",
    "logical_and", "logical_or", "where", "clamp", "dropout", "maximum", "minimum",
)  # fmt: skip
def pointwise(operation: Operation) -> Type:
    terms, result = broadcast(operation)
    return shared(terms, result)


@rule("add", "sub", "__add__", "__sub__")
def add(operation: Operation) -> Type:
    terms, result = broadcast(operation)
    if len(terms) == 1 and terms[0][0].type is PARTIAL:
        raise Refused("partial", "a constant is added to a pending sum", "the sum taken first")
    return shared(terms, result, linear="all")


@rule("mul", "__mul__")
def mul(operation: Operation) -> Type:
    terms, result = broadcast(operation)
    return shared(terms, result, linear=(0, 1))
