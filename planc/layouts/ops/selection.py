"""Operations that take each entry from one of several places: `where` and its kin."""

from __future__ import annotations

from typing import Any

from planc.layouts.factors import Labels, Term, shared
from planc.layouts.operation import NotKnown, Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.ops.casts import rounds
from planc.layouts.ops.pointwise import aligned, broadcast, settle
from planc.layouts.types import PARTIAL, WHOLE, Type


@rule("where")
def where(operation: Operation) -> Type:
    """where(c, x, y), x.where(c, y)"""
    if len(operation.arguments) + len(operation.keywords) != 3:
        raise NotKnown("where gives places, whose number depends on the numbers in the tensor")
    first, second, third = operation.bind("condition", "input", "other")
    if not isinstance(first, Operand) or first.dtype != "bool":
        first, second = second, first
    return chosen(operation, first, (second, third))


@rule("masked_fill", "masked_fill_")
def masked_fill(operation: Operation) -> Type:
    """where(mask, value, x)"""
    x, mask, value = operation.bind("input", "mask", "value")
    return settle(operation, chosen(operation, mask, (x, value)))


def chosen(operation: Operation, mask: Any, values: tuple[Any, ...]) -> Type:
    """Entries of the values, as the mask says: linear in all values together."""
    terms, result = broadcast(operation)
    if not isinstance(mask, Operand):
        raise NotKnown(f"the condition of {operation.name} is no tensor")
    if not any(isinstance(value, Operand) and value.type is PARTIAL for value in values):
        return shared(terms, result)
    for value in values:
        if (not isinstance(value, Operand) and value != 0) or mask.type not in WHOLE:
            raise Refused(
                "partial", "a pending sum is filled with a value, on every rank", "the sum taken first"
            )
    shape = operation.results[0].shape
    tensors: list[Term] = [(value, aligned(value, shape)) for value in values if isinstance(value, Operand)]
    return shared(tensors, result, linear="all")


@rule("addcmul", "addcmul_", "addcdiv", "addcdiv_", "lerp", "lerp_")
def fused(operation: Operation) -> Type:
    """x + value * y * z and the like: taken as nonlinear."""
    return settle(operation, shared(*broadcast(operation)))


@rule("copy_")
def copy(operation: Operation) -> Type:
    """What it writes has the source's type."""
    target, source, _ = operation.bind("self", "src", non_blocking=False)
    if not isinstance(target, Operand) or not isinstance(source, Operand):
        raise NotKnown("copy_ copies a tensor into a tensor")
    if source.type is PARTIAL and rounds(source, target.dtype):
        raise Refused("partial", f"a pending sum is made {target.dtype}", "the sum taken first")
    labels: Labels = tuple(range(target.ndim))
    return settle(
        operation, shared([(target, labels), (source, aligned(source, target.shape))], labels, linear="all")
    )


@rule("zero_", "fill_")
def fill(operation: Operation) -> Type:
    """The same number everywhere, in a tensor that keeps its type."""
    target, value = operation.bind("self", value=0)
    if isinstance(value, Operand):
        raise NotKnown(f"{operation.name} fills with the number in a tensor")
    if target.type is PARTIAL and value != 0:
        raise Refused("partial", "a pending sum is filled with a value, on every rank", "the sum taken first")
    return settle(operation, target.type)
