"""Operations that treat each entry of their leading dims by itself: the linear algebra of batches of matrices.

A row is a signature, as NumPy writes those of generalized universal functions: `(N,N),(N,k)->(N,k)` takes two matrices
and returns one. An upper-case dim is needed in full; a lower-case one may be sharded, since its entries are independent.
All dims before these belong to the batch; they broadcast.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.operation import Operand, Operation, Unsupported
from planc.proof.rules.registry import op_rule
from planc.proof.types import SpmdType

BatchedRule = Callable[[Operation], tuple[SpmdType, ...]]


def batched_rule(signature: str, *, linear_in: Collection[int] = ()) -> BatchedRule:
    """The rule of an operation with this signature.

    Args:
        signature: its core dims, the last ones of each operand and of each result.
        linear_in: the operands, by number, in each of which it is linear for fixed other operands.
    """
    takes, gives = ([_core_dims(group) for group in side] for side in _groups(signature))
    needed = {label for group in (*takes, *gives) for label in group if label.isupper()}

    def rule(operation: Operation) -> tuple[SpmdType, ...]:
        if operation.keywords.get("out") is not None or operation.keywords.get("left") is False:
            raise Unsupported(f"the rule of {operation.name} does not know its argument 'out', or 'left'")
        operands = operation.operands()
        if len(operands) != len(takes) or len(operation.results) != len(gives):
            raise Unsupported(f"the rule of {operation.name} expects {signature}")
        depth = max(len(info.shape) - len(core) for info, core in zip(operation.results, gives, strict=True))
        if any(
            len(info.shape) != depth + len(core) for info, core in zip(operation.results, gives, strict=True)
        ):
            raise Unsupported(f"{operation.name} returns tensors of other dims than {signature}")
        shape = operation.results[0].shape[:depth]
        labeled = [_labeled(operand, core, shape) for operand, core in zip(operands, takes, strict=True)]
        batch: DimLabels = tuple(range(depth))
        return tuple(
            einsum_rule(labeled, (*batch, *core), need_replication=needed, use="matrix", linear_in=linear_in)
            for core in gives
        )

    return rule


def _groups(signature: str) -> list[list[str]]:
    return [re.findall(r"\((.*?)\)", side) for side in signature.split("->")]


def _core_dims(group: str) -> tuple[str, ...]:
    return tuple(name for name in group.split(",") if name)


def _labeled(operand: Operand, core: tuple[str, ...], batch: tuple[int, ...]) -> LabeledOperand:
    """An operand with its labels: the numbers of its batch dims, counted in the result, and its core dims."""
    own = operand.shape[: operand.ndim - len(core)]
    missing = len(batch) - len(own)
    if operand.ndim < len(core) or missing < 0:
        raise Unsupported("an operand has fewer dims than the rule expects")
    leading: DimLabels = tuple(
        None if size == 1 and batch[missing + d] != 1 else missing + d for d, size in enumerate(own)
    )
    return operand, (*leading, *core)


op_rule(
    "linalg_inv", "inverse", "linalg_pinv", "linalg_cholesky", "cholesky", "matrix_exp", "linalg_matrix_exp"
)(batched_rule("(N,N)->(N,N)"))
op_rule("linalg_det", "det", "logdet")(batched_rule("(N,N)->()"))
op_rule("linalg_eigvalsh")(batched_rule("(N,N)->(N)"))
op_rule("linalg_slogdet", "slogdet")(batched_rule("(N,N)->(),()"))
op_rule("linalg_eigh")(batched_rule("(N,N)->(N),(N,N)"))
op_rule("linalg_qr")(batched_rule("(M,N)->(M,K),(K,N)"))
op_rule("linalg_svd")(batched_rule("(M,N)->(M,K),(K),(L,N)"))
op_rule("linalg_svdvals")(batched_rule("(M,N)->(K)"))
op_rule("linalg_householder_product")(batched_rule("(M,N),(K)->(M,N)"))
op_rule("linalg_solve_triangular")(batched_rule("(N,N),(N,k)->(N,k)", linear_in=(1,)))
op_rule("cholesky_solve")(batched_rule("(N,k),(N,N)->(N,k)", linear_in=(0,)))
op_rule("cdist")(batched_rule("(p,M),(r,M)->(p,r)"))
