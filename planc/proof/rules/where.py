"""Operations that take each entry from one of several tensors, as a condition says."""

from __future__ import annotations

from typing import Any

from planc.proof.rules.einsum_rule import LabeledOperand, einsum_rule
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.pointwise import broadcast_labels, broadcast_operands, pointwise_result_type
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import SavedTensor, saved_sources, saves
from planc.proof.types import PARTIAL, SAME_ON_ALL_RANKS, SpmdType
from planc.proof.violations import PartialOperand


def where_saves(operation: Operation) -> tuple[SavedTensor, ...]:
    """The condition."""
    conditions = [n for n, operand in enumerate(operation.operands()) if operand.dtype == "bool"]
    return saved_sources(operation, conditions[:1])


@op_rule("where", saves=where_saves, may_alias=False)
def where_rule(operation: Operation) -> SpmdType:
    """where(condition, x, y), x.where(condition, y): all broadcast -> as the largest"""
    if len(operation.arguments) + len(operation.keywords) != 3:
        raise Unsupported("the number of indices that where returns depends on the entries of the tensor")
    first, second, third = operation.bind_arguments("condition", "input", "other")
    if not isinstance(first, Operand) or first.dtype != "bool":
        first, second = second, first
    return masked_selection_type(operation, first, (second, third))


@op_rule("masked_fill", inplace_variant=True, saves=saves(1), may_alias=False, writes="part")
def masked_fill_rule(operation: Operation) -> SpmdType:
    """x, mask, value: all broadcast -> as x, with the value where the mask is True"""
    x, mask, value = operation.bind_arguments("input", "mask", "value")
    return pointwise_result_type(operation, masked_selection_type(operation, mask, (x, value)))


def masked_selection_type(operation: Operation, mask: Any, values: tuple[Any, ...]) -> SpmdType:
    """The type of entries of the values, as a mask says: linear in all values together."""
    operands, result = broadcast_operands(operation)
    if not isinstance(mask, Operand):
        raise Unsupported(f"the condition of {operation.name} is not a tensor")
    if not any(isinstance(value, Operand) and value.type is PARTIAL for value in values):
        return einsum_rule(operands, result)
    for value in values:
        if (not isinstance(value, Operand) and value != 0) or mask.type not in SAME_ON_ALL_RANKS:
            raise RuleViolation(PartialOperand("fill"))
    shape = operation.results[0].shape
    tensors: list[LabeledOperand] = [
        (value, broadcast_labels(value, shape)) for value in values if isinstance(value, Operand)
    ]
    return einsum_rule(tensors, result, linear_in="all")
