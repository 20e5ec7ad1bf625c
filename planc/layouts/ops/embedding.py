"""Rows of tables."""

from __future__ import annotations

from planc.layouts.factors import Labels, shared
from planc.layouts.operation import NotKnown, Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.types import PARTIAL, WHOLE, Type, split


@rule("embedding")
def embedding(operation: Operation) -> Type:
    """input (...) of row numbers, weight (rows, d) -> (..., d)

    A table split by rows is right only in a module that a rowwise style runs: it looks up
    the rows of its rank, and gives zeros for those of others.
    """
    x, weight, _, most, _, frequency, _ = operation.bind(
        "input", "weight",
        padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False,
    )  # fmt: skip
    if not isinstance(x, Operand) or not isinstance(weight, Operand):
        raise NotKnown("an embedding takes row numbers and a table")
    if most is not None or frequency is not False:
        raise NotKnown("an embedding with 'max_norm' or 'scale_grad_by_freq' has no rule")
    if weight.type is split(0) and operation.style == "rowwise":
        if x.type not in WHOLE:
            raise Refused(
                "meet",
                f"row numbers that are {x.type}, for a table split by rows",
                "all row numbers on every rank",
            )
        return PARTIAL
    batch: Labels = tuple(range(x.ndim))
    why = "the row numbers count the rows of the whole table"
    return shared([(x, batch), (weight, ("row", "d"))], (*batch, "d"), fixed=("row",), linear=(1,), why=why)


@rule("one_hot")
def one_hot(operation: Operation) -> Type:
    """x (...) -> (..., classes)"""
    x, classes = operation.bind("input", num_classes=-1)
    if classes == -1 and x.type not in WHOLE:
        raise NotKnown("one_hot finds the number of classes in the numbers that a rank has")
    batch: Labels = tuple(range(x.ndim))
    return shared([(x, batch)], (*batch, None))
