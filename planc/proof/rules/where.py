"""Operations that take each entry from one of several places: `where` and its kin."""

from __future__ import annotations

from typing import Any

from planc.proof.rules.casts import cast_is_nonlinear
from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.pointwise import broadcast_labels, broadcast_operands, pointwise_result_type
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import SavedTensor, saved_sources, saves, saves_factors, saves_nothing
from planc.proof.types import PARTIAL, SAME_ON_ALL_RANKS, SpmdType
from planc.proof.violations import PartialOperand


def where_saves(operation: Operation) -> tuple[SavedTensor, ...]:
    """The condition."""
    conditions = [n for n, operand in enumerate(operation.operands()) if operand.dtype == "bool"]
    return saved_sources(operation, conditions[:1])


@op_rule("where", saves=where_saves, may_alias=False)
def where_rule(operation: Operation) -> SpmdType:
    """where(c, x, y), x.where(c, y)"""
    if len(operation.arguments) + len(operation.keywords) != 3:
        raise Unsupported("where gives places, whose number depends on the numbers in the tensor")
    first, second, third = operation.bind_arguments("condition", "input", "other")
    if not isinstance(first, Operand) or first.dtype != "bool":
        first, second = second, first
    return masked_selection_type(operation, first, (second, third))


@op_rule("masked_fill", inplace_variant=True, saves=saves(1), may_alias=False)
def masked_fill_rule(operation: Operation) -> SpmdType:
    """where(mask, value, x)"""
    x, mask, value = operation.bind_arguments("input", "mask", "value")
    return pointwise_result_type(operation, masked_selection_type(operation, mask, (x, value)))


def masked_selection_type(operation: Operation, mask: Any, values: tuple[Any, ...]) -> SpmdType:
    """Entries of the values, as the mask says: linear in all values together."""
    terms, result = broadcast_operands(operation)
    if not isinstance(mask, Operand):
        raise Unsupported(f"the condition of {operation.name} is no tensor")
    if not any(isinstance(value, Operand) and value.type is PARTIAL for value in values):
        return einsum_rule(terms, result)
    for value in values:
        if (not isinstance(value, Operand) and value != 0) or mask.type not in SAME_ON_ALL_RANKS:
            raise RuleViolation(PartialOperand("fill"))
    shape = operation.results[0].shape
    tensors: list[LabeledOperand] = [
        (value, broadcast_labels(value, shape)) for value in values if isinstance(value, Operand)
    ]
    return einsum_rule(tensors, result, linear_in="all")


@op_rule("addcmul", inplace_variant=True, saves=saves_factors(1, 2), may_alias=False)
@op_rule("addcdiv", "lerp", inplace_variant=True, may_alias=False)
def ternary_pointwise_rule(operation: Operation) -> SpmdType:
    """x + value * y * z and the like: taken as nonlinear."""
    return pointwise_result_type(operation, einsum_rule(*broadcast_operands(operation)))


@op_rule("copy_", saves=saves_nothing)
def copy_rule(operation: Operation) -> SpmdType:
    """What it writes has the source's type."""
    target, source, _ = operation.bind_arguments("self", "src", non_blocking=False)
    if not isinstance(target, Operand) or not isinstance(source, Operand):
        raise Unsupported("copy_ copies a tensor into a tensor")
    if source.type is PARTIAL and cast_is_nonlinear(source, target.dtype):
        raise RuleViolation(PartialOperand("cast", target.dtype))
    labels: DimLabels = tuple(range(target.ndim))
    return pointwise_result_type(
        operation,
        einsum_rule(
            [(target, labels), (source, broadcast_labels(source, target.shape))], labels, linear_in="all"
        ),
    )


@op_rule("zero_", "fill_", saves=saves_nothing)
def fill_rule(operation: Operation) -> SpmdType:
    """The same number everywhere, in a tensor that keeps its type."""
    target, value = operation.bind_arguments("self", value=0)
    if isinstance(value, Operand):
        raise Unsupported(f"{operation.name} fills with the number in a tensor")
    if target.type is PARTIAL and value != 0:
        raise RuleViolation(PartialOperand("fill"))
    return pointwise_result_type(operation, target.type)
