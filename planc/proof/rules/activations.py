"""Activations that are no plain functions of one number."""

from __future__ import annotations

from planc.proof.rules import op_rule
from planc.proof.rules.einsum_rule import einsum_rule
from planc.proof.rules.operation import Operand, Operation, Unsupported
from planc.proof.rules.pointwise import pointwise_result_type
from planc.proof.types import PackedShard, SpmdType, sharded


@op_rule("dropout", "dropout_")
def dropout_rule(operation: Operation) -> SpmdType:
    """Where it drops, each rank would drop other summands of a pending sum."""
    x, p, training, _ = operation.bind_arguments("input", p=0.5, training=True, inplace=False)
    dims = tuple(range(x.ndim))
    idle = p == 0 or training is False
    return pointwise_result_type(operation, einsum_rule([(x, dims)], dims, linear_in="all" if idle else ()))


@op_rule("glu")
def glu_rule(operation: Operation) -> SpmdType:
    """x (.., 2k, ..) -> (.., k, ..): the first half times the sigmoid of the second."""
    x, dim = operation.bind_arguments("input", dim=-1)
    dim %= x.ndim
    if isinstance(x.type, PackedShard) and x.type.dim == dim and x.type.parts == (x.shape[dim] // 2,) * 2:
        return sharded(dim)
    dims = tuple(range(x.ndim))
    return einsum_rule([(x, dims)], dims, need_replication=(dim,), reason="glu halves that dim")


@op_rule("prelu")
def prelu_rule(operation: Operation) -> SpmdType:
    """x (n, c, ...), weight (c) or (1)"""
    x, weight = operation.bind_arguments("input", "weight")
    if not isinstance(weight, Operand) or x.ndim < 2:
        raise Unsupported("prelu has a weight for each channel")
    dims = tuple(range(x.ndim))
    return einsum_rule([(x, dims), (weight, (1 if weight.shape != (1,) or x.shape[1] == 1 else None,))], dims)
