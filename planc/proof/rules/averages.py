"""Means over the batch, on an axis whose ranks have equal parts of it and whose gradients are averaged.

Let each rank have v_r, and let the value be v = mean(v_r). A function that is affine in all such operands together keeps
this: mean(f(v_r)) = f(mean(v_r)). So does its gradient: each rank gets the gradient of the whole for its own v_r, and the
average over the ranks of the gradients of a parameter that takes part, as in `v * w`, is that of the whole.

What a rule says of a partial operand it says of an average too, since both need a function that is linear in them. A mean
may also be added to a value that all ranks have, where a sum may not: otherwise every rank would add it once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from planc.ir.tree import map_leaves
from planc.proof.batch_causes import AverageUse, AverageUsed
from planc.proof.rules.inplace import is_inplace
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported, iter_rank_dependent
from planc.proof.types import AVERAGE, CONSTANT, PARTIAL, REPLICATED, SAME_ON_ALL_RANKS, SpmdType, sharded_dim
from planc.proof.violations import PartialOperand, SizeRead

if TYPE_CHECKING:
    from planc.proof.rules.registry import RuleFunction

_AFFINE = ("sum with a full value", "bias", "constant added", "fill", "padding", "number written")
"""What a partial operand may not do, and an average may: the ranks add the same to each of their values."""


def infer_with_averages(
    infer: RuleFunction, operation: Operation, operands: Sequence[Operand]
) -> list[SpmdType]:
    """The types of the results of an operation with averages among its operands, by the rule for partial operands.

    Args:
        infer: the rule.
        operation: the call.
        operands: its tensors.

    Raises:
        RuleViolation: the function is not affine in the averages, or combines them with values that differ between ranks.
        Unsupported: the rule cannot tell.
    """
    if any(operand.type is PARTIAL for operand in operands):
        raise RuleViolation(AverageUsed("sum"))
    as_partial = operation.with_arguments(
        _as_partial(operation.arguments),
        {name: _as_partial(value) for name, value in operation.keywords.items()},
    )
    try:
        given = infer(as_partial)
    except RuleViolation as violation:
        if not _is_affine(violation, operation, operands):
            raise RuleViolation(AverageUsed(_use(operands))) from None
        given = tuple([PARTIAL] * len(operation.results))
    types = given if isinstance(given, tuple) else (given,)
    if AVERAGE in types:
        # A mean over the size of a rank's part, which the rule takes for a sum over it.
        raise RuleViolation(AverageUsed("sum"))
    if any(spmd_type is not PARTIAL and spmd_type not in SAME_ON_ALL_RANKS for spmd_type in types):
        raise Unsupported(f"{operation.name} of a mean over the ranks")
    return [AVERAGE if spmd_type is PARTIAL else spmd_type for spmd_type in types]


def _is_affine(violation: RuleViolation, operation: Operation, operands: Sequence[Operand]) -> bool:
    """Whether the rule refuses a sum for a reason that a mean does not have."""
    cause = violation.cause
    if not isinstance(cause, PartialOperand) or cause.use not in _AFFINE:
        return False
    # What is new becomes a mean: `total = zeros(()); total += x.mean()`. A view of it keeps its type, and is refused later.
    if is_inplace(operation) and operands[0].type is not AVERAGE and not operands[0].is_fresh:
        raise RuleViolation(AverageUsed("written"))
    # An operand with its full gradient on every rank may stand beside a mean, but not beside one whose gradient FSDP averages.
    return all(operand.type in (AVERAGE, REPLICATED, CONSTANT) for operand in operands)


def _use(operands: Sequence[Operand]) -> AverageUse:
    if any(sharded_dim(operand.type) is not None for operand in operands):
        return "samples"
    averages = [operand for operand in operands if operand.type is AVERAGE]
    return "product" if len(averages) > 1 else "nonlinear operation"


def _as_partial(item: Any) -> Any:
    def partial(operand: Operand) -> Operand:
        if operand.type is not AVERAGE:
            return operand
        return Operand(PARTIAL, operand.shape, operand.grad, operand.dtype, operand.origin)

    return map_leaves(item, Operand, partial, into=(tuple,))


def mean_of_sum(operation: Operation, power: int) -> SpmdType | None:
    """The type of a sum times or over a number that differs between ranks; None: the call has no such number.

    A sum over a rank's part of the batch, over the size of that part, is a mean.

    Args:
        operation: a product or a quotient.
        power: what `RankDependent.share` of its second argument makes the result a mean: 1 for a product.

    Raises:
        RuleViolation: the result is not a mean over the ranks.
    """
    number = next(iter_rank_dependent((operation.arguments, *operation.keywords.values())), None)
    if number is None:
        return None
    x, *others = operation.arguments
    is_mean = isinstance(x, Operand) and x.type is PARTIAL and others == [number] and number.share == power
    if not operation.splits_batch or not is_mean or operation.keywords:
        raise RuleViolation(
            SizeRead(number.source, number.global_value, number.local_value, in_argument=False)
        )
    return AVERAGE
