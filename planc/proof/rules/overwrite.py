"""Operations that overwrite a tensor: with another one, or with one number everywhere."""

from __future__ import annotations

from planc.proof.rules.casts import cast_is_nonlinear
from planc.proof.rules.einsum_rule import DimLabels, einsum_rule
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.pointwise import broadcast_labels, pointwise_result_type
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import saves_nothing
from planc.proof.types import PARTIAL, SpmdType
from planc.proof.violations import PartialOperand


@op_rule("copy_", saves=saves_nothing, writes="all")
def copy_rule(operation: Operation) -> SpmdType:
    """target (a, b), source (b) -> target (a, b): what is written has the type of the source"""
    target, source, _ = operation.bind_arguments("self", "src", non_blocking=False)
    if not isinstance(target, Operand) or not isinstance(source, Operand):
        raise Unsupported("copy_ copies a tensor into a tensor")
    if source.type is PARTIAL and cast_is_nonlinear(source, target.dtype):
        raise RuleViolation(PartialOperand("cast", target.dtype))
    labels: DimLabels = tuple(range(target.ndim))
    operands = [(target, labels), (source, broadcast_labels(source, target.shape))]
    return pointwise_result_type(operation, einsum_rule(operands, labels, linear_in="all"))


@op_rule("zero_", "fill_", saves=saves_nothing, writes="all")
def fill_rule(operation: Operation) -> SpmdType:
    """target (a, b), a number -> target (a, b), which keeps its type"""
    target, value = operation.bind_arguments("self", value=0)
    if isinstance(value, Operand):
        raise Unsupported(f"{operation.name} fills with the number in a tensor")
    if target.type is PARTIAL and value != 0:
        raise RuleViolation(PartialOperand("fill"))
    return pointwise_result_type(operation, target.type)
