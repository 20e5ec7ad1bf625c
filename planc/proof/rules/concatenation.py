"""Operations that concatenate or stack tensors."""

from __future__ import annotations

from collections.abc import Sequence

from planc.proof.rules.arguments import as_operand, bind_with_aliases, normalize_dim
from planc.proof.rules.einsum_rule import DimLabel, einsum_rule
from planc.proof.rules.operation import Operand, Operation, Unsupported
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import saves_nothing
from planc.proof.types import SAME_ON_ALL_RANKS, PackedShard, SpmdType, packed_shard, sharded_dim


def concatenated_type(tensors: Sequence[Operand], dim: int) -> SpmdType:
    """The type of tensors that are concatenated along a dim that they have."""
    # torch ignores tensors of shape (0,), whatever dims the others have.
    pieces = [x for x in tensors if x.shape != (0,)] or list(tensors)
    if len(pieces) == 1:
        return pieces[0].type
    ndim = pieces[0].ndim
    if any(x.ndim != ndim for x in pieces):
        raise Unsupported("tensors with different numbers of dims are concatenated")
    if all(sharded_dim(x.type) == dim for x in pieces):
        # A rank has its shard of the first tensor, then its shard of the second one: a packed shard.
        return packed_shard(dim, tuple(part for x in pieces for part in _parts(x, dim)))
    labels: tuple[DimLabel, ...] = tuple("along" if d == dim else d for d in range(ndim))
    operands = [(x, labels) for x in pieces]
    return einsum_rule(operands, labels, need_replication=("along",), use="concatenation", linear_in="all")


def _parts(piece: Operand, dim: int) -> tuple[int, ...]:
    return piece.type.parts if isinstance(piece.type, PackedShard) else (piece.shape[dim],)


def stacked_type(tensors: Sequence[Operand], dim: int) -> SpmdType:
    """The type of tensors that are stacked along a new dim."""
    labels: list[DimLabel] = list(range(tensors[0].ndim))
    operands = [(x, tuple(labels)) for x in tensors]
    labels.insert(dim, "along")
    return einsum_rule(operands, tuple(labels), linear_in="all")


def _tensors_and_dim(operation: Operation) -> tuple[list[Operand], int]:
    # `cat(x)` of one tensor concatenates its rows.
    items, dim = bind_with_aliases(operation, "tensors", dim=0)
    if not isinstance(items, tuple) or not items:
        raise Unsupported(f"the rule of {operation.name} expects a list of tensors")
    return [as_operand(item) for item in items], dim


@op_rule("cat", "concat", "concatenate", saves=saves_nothing, may_alias=False)
def cat_rule(operation: Operation) -> SpmdType:
    """(a, b), (a, c), dim 1 -> (a, b + c)"""
    tensors, dim = _tensors_and_dim(operation)
    return concatenated_type(tensors, normalize_dim(dim, len(operation.results[0].shape)))


@op_rule("stack", saves=saves_nothing, may_alias=False)
def stack_rule(operation: Operation) -> SpmdType:
    """(a, b), (a, b), dim 1 -> (a, 2, b)"""
    tensors, dim = _tensors_and_dim(operation)
    return stacked_type(tensors, normalize_dim(dim, tensors[0].ndim + 1))


@op_rule("hstack", saves=saves_nothing, may_alias=False)
def hstack_rule(operation: Operation) -> SpmdType:
    """(a, b), (a, c) -> (a, b + c); of one dim: (a), (b) -> (a + b)"""
    tensors, _ = _tensors_and_dim(operation)
    return concatenated_type(_with_dims(tensors, 1), 0 if tensors[0].ndim == 1 else 1)


@op_rule("vstack", "row_stack", saves=saves_nothing, may_alias=False)
def vstack_rule(operation: Operation) -> SpmdType:
    """(a, c), (b, c) -> (a + b, c); of one dim: (a), (a) -> (2, a)"""
    tensors, _ = _tensors_and_dim(operation)
    return stacked_type(tensors, 0) if tensors[0].ndim == 1 else concatenated_type(_with_dims(tensors, 2), 0)


@op_rule("column_stack", saves=saves_nothing, may_alias=False)
def column_stack_rule(operation: Operation) -> SpmdType:
    """(a, b), (a, c) -> (a, b + c); of one dim: (a), (a) -> (a, 2)"""
    tensors, _ = _tensors_and_dim(operation)
    return stacked_type(tensors, 1) if tensors[0].ndim == 1 else concatenated_type(_with_dims(tensors, 2), 1)


@op_rule("dstack", saves=saves_nothing, may_alias=False)
def dstack_rule(operation: Operation) -> SpmdType:
    """(a, b, c), (a, b, d) -> (a, b, c + d); of two dims: (a, b), (a, b) -> (a, b, 2)"""
    tensors, _ = _tensors_and_dim(operation)
    return stacked_type(tensors, 2) if tensors[0].ndim == 2 else concatenated_type(_with_dims(tensors, 3), 2)


def _with_dims(tensors: list[Operand], least: int) -> list[Operand]:
    if any(x.ndim < least for x in tensors):
        raise Unsupported(f"tensors of fewer than {least} dims are concatenated")
    return tensors


@op_rule("meshgrid", saves=saves_nothing)
def meshgrid_rule(operation: Operation) -> tuple[SpmdType, ...]:
    """(a), (b) -> (a, b), (a, b)"""
    items = operation.operands()
    differs = any(as_operand(x).type not in SAME_ON_ALL_RANKS for x in items)
    if differs or len(items) != len(operation.results):
        raise Unsupported("a grid of tensors that differ between ranks")
    return tuple(x.type for x in items)
