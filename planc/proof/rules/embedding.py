"""Lookup of rows: embedding and one_hot."""

from __future__ import annotations

from planc.proof.rules.einsum_rule import DimLabels, einsum_rule
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import saves, saves_nothing
from planc.proof.types import PARTIAL, SAME_ON_ALL_RANKS, SpmdType, sharded
from planc.proof.violations import ShardedRowNumbers


@op_rule("embedding", saves=saves(0), may_alias=False, looks_up_rows=True)
def embedding_rule(operation: Operation) -> SpmdType:
    """input (...) of row numbers, weight (rows, d) -> (..., d)

    A table that is split by rows needs a module whose style masks the lookup: each rank then returns
    zeros for the rows that it lacks, and the result is partial.
    """
    x, weight, _, most, _, frequency, sparse = operation.bind_arguments(
        "input", "weight",
        padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False,
    )  # fmt: skip
    if not isinstance(x, Operand) or not isinstance(weight, Operand):
        raise Unsupported("the rule of embedding expects row numbers and a table")
    if most is not None or frequency is not False:
        raise Unsupported("an embedding with 'max_norm' or 'scale_grad_by_freq'")
    if sparse is not False:
        raise Unsupported("an embedding with 'sparse=True': a DTensor has no sparse gradient, nor has FSDP2")
    if weight.type is sharded(0) and operation.masks_lookup:
        if x.type not in SAME_ON_ALL_RANKS:
            raise RuleViolation(ShardedRowNumbers(x.type))
        return PARTIAL
    batch: DimLabels = tuple(range(x.ndim))
    return einsum_rule(
        [(x, batch), (weight, ("row", "d"))],
        (*batch, "d"),
        need_replication=("row",),
        linear_in=(1,),
        use="row numbers",
    )


@op_rule("one_hot", saves=saves_nothing, may_alias=False)
def one_hot_rule(operation: Operation) -> SpmdType:
    """x (...) -> (..., classes)"""
    x, classes = operation.bind_arguments("input", num_classes=-1)
    if classes == -1 and x.type not in SAME_ON_ALL_RANKS:
        raise Unsupported("one_hot without num_classes: each rank would count the classes that it sees")
    batch: DimLabels = tuple(range(x.ndim))
    return einsum_rule([(x, batch)], (*batch, None))
