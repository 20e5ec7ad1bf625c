"""Dropout, and activations that are more than a function of one entry."""

from __future__ import annotations

from planc.proof.rules.einsum_rule import einsum_rule
from planc.proof.rules.operation import Operand, Operation, Unsupported
from planc.proof.rules.pointwise import pointwise_result_type
from planc.proof.rules.registry import add_rows, op_rule
from planc.proof.rules.saved_tensors import SavedTensor, saves
from planc.proof.types import PackedShard, SpmdType, sharded


def dropout_saves(operation: Operation) -> tuple[SavedTensor, ...] | None:
    """Nothing at a rate of zero. At another rate dropout saves a mask in training, and the captured run does
    not say whether the forecast one is in training."""
    arguments = operation.arguments
    p = arguments[1] if len(arguments) > 1 else operation.keywords.get("p", 0.5)
    return () if p == 0 else None


def dropout_uses_rng(operation: Operation) -> bool:
    """Dropout draws random numbers in training, unless its rate is zero."""
    given = operation.arguments[1:]
    p = operation.keywords.get("p", given[0] if given else 0.5)
    training = operation.keywords.get("training", given[1] if len(given) > 1 else True)
    return bool(p) and bool(training)


add_rows(
    "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout",
    saves=dropout_saves, uses_rng=dropout_uses_rng, inplace_position=3,
)  # fmt: skip


@op_rule(
    "dropout", inplace_variant=True, saves=dropout_saves, uses_rng=dropout_uses_rng, inplace_position=3,
)  # fmt: skip
def dropout_rule(operation: Operation) -> SpmdType:
    """x -> as x: not linear where it drops, since each rank would drop other terms of a partial value."""
    x, p, training, _ = operation.bind_arguments("input", p=0.5, training=True, inplace=False)
    dims = tuple(range(x.ndim))
    drops_nothing = p == 0 or training is False
    return pointwise_result_type(
        operation, einsum_rule([(x, dims)], dims, linear_in="all" if drops_nothing else ())
    )


@op_rule("glu", saves=saves(0), may_alias=False)
def glu_rule(operation: Operation) -> SpmdType:
    """x (..., 2k, ...) -> (..., k, ...): the first half times the sigmoid of the second."""
    x, dim = operation.bind_arguments("input", dim=-1)
    dim %= x.ndim
    if isinstance(x.type, PackedShard) and x.type.dim == dim and x.type.parts == (x.shape[dim] // 2,) * 2:
        return sharded(dim)
    dims = tuple(range(x.ndim))
    return einsum_rule([(x, dims)], dims, need_replication=(dim,), use="glu")


@op_rule("prelu", saves=saves(0, 1), may_alias=False)
def prelu_rule(operation: Operation) -> SpmdType:
    """x (n, c, ...), weight (c) or (1) -> as x"""
    x, weight = operation.bind_arguments("input", "weight")
    if not isinstance(weight, Operand) or x.ndim < 2:
        raise Unsupported("the rule of prelu expects a weight and a tensor with channels")
    dims = tuple(range(x.ndim))
    is_shared = weight.shape == (1,) and x.shape[1] != 1
    return einsum_rule([(x, dims), (weight, (None if is_shared else 1,))], dims)
