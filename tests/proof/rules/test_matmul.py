"""Rules of products of matrices, and of convolutions."""

from __future__ import annotations

import pytest
import torch

from planc.proof.rules.operation import Operand, RankDependent, RuleViolation, Unsupported
from planc.proof.types import DEFERRED_BIAS, PARTIAL, REPLICATED, sharded
from tests.proof.rules.harness import Case, T, cover, infer_result_types, sweep
from tests.proof.rules.known_strictness import known_strictness

RANKS = pytest.mark.parametrize("ranks", [2, 3, 4])


@RANKS
def test_linear(ranks):
    n = ranks
    cover([
        Case("linear", T(2, n, 2 * n), T(n, 2 * n)),
        Case("linear", T(2 * n, n), T(n, n), T(n)),
        Case("linear", T(n, 1, n), T(2 * n, n), bias=T(2 * n)),
        Case("linear", T(n), T(2 * n, n), None),
        Case("linear", T(n, n), T(n)),
    ], ranks, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_matmul(ranks):
    n = ranks
    cover([
        Case("matmul", T(n, 2, n), T(n, n, 3)),
        Case("__matmul__", T(1, 2, n, n), T(n, 1, n, n)),
        Case("matmul", T(n, n), T(2, n, n)),
        Case("__rmatmul__", T(n, 2), T(3, n)),
        Case("matmul", T(n), T(2, n, n)),
        Case("matmul", T(n, 2, n), T(n)),
        Case("dot", T(2 * n), T(2 * n)),
        Case("vdot", T(2 * n), T(2 * n)),
        Case("mm", T(n, n), mat2=T(n, 2 * n)),
        Case("mv", T(n, n), T(n)),
        Case("bmm", T(n, 2, n), T(n, n, n)),
    ], ranks, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_addmm(ranks):
    n = ranks
    cover([
        Case("addmm", T(2 * n), T(3, n), T(n, 2 * n), call=torch.addmm),
        Case("addmm", T(2, n), T(2, n), T(n, n), beta=0, call=torch.addmm),
        Case("addmm", T(n, n), T(n, n), T(n, n), beta=0.5, alpha=2, call=torch.addmm),
        Case("baddbmm", T(n, 1, n), T(n, 2, n), T(n, n, n), call=torch.baddbmm),
        Case("baddbmm", T(n, 2, n), batch1=T(n, 2, n), batch2=T(n, n, n), call=torch.baddbmm),
        Case("baddbmm_", T(n, 2, n), T(n, 2, n), T(n, n, n)),
        Case("addmm_", T(n, n), T(n, n), T(n, n)),
    ], ranks, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_einsum(ranks):
    n, call = ranks, torch.einsum
    cover([
        Case("einsum", "bij,bjk->bik", T(n, 2, n), T(n, n, n), call=call),
        Case("einsum", "...ij, jk -> ...ik", T(2, n, 1, n), T(n, n), call=call),
        Case("einsum", "ij,jk", (T(n, n), T(n, 2)), call=call),
        Case("einsum", "ii->i", T(n, n), call=call),
        Case("einsum", "ij,k->i", T(n, n), T(n), call=call),
        Case("einsum", "i,j->ij", T(n), T(n), call=call),
        Case("einsum", "bhid,bhjd->bhij", T(1, n, 2, n), T(n, n, 3, n), call=call),
        Case("einsum", "ij,jk,kl->il", T(2, n), T(n, n), T(n, 2), call=call),
    ], ranks, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_conv(ranks):
    n = ranks
    cover([
        Case("conv1d", T(n, n, 4), T(n, n, 3), T(n), 1, 1),
        Case("conv1d", T(n, 2 * n), T(n, n, 1)),
        Case("conv2d", T(2, n, 4, n), T(n, n, 2, 2), bias=T(n), stride=2),
        Case("conv3d", T(n, n, 2, 2, 2), T(n, n, 2, 2, 2)),
        Case("conv2d", T(n, n, n, 4), T(2 * n, n, 1, 1), None, (1, 1), "same"),
    ], ranks, known_strict=known_strictness)  # fmt: skip
    cover([
        Case("conv1d", T(n, n, 4), T(n, 1, 3), T(n), groups=n),
        Case("conv1d", T(n, 2 * n, 4), T(2 * n, 1, 3), T(2 * n), groups=RankDependent(2 * n, 2)),
    ], ranks, min_accepted=12, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_transposed_conv(ranks):
    n = ranks
    cover([
        Case("conv_transpose1d", T(n, n, 4), T(n, n, 3), T(n), 2, 1, 1),
        Case("conv_transpose2d", T(n, n, 2, 2), T(n, 2 * n, 2, 2), stride=2),
        Case("conv_transpose3d", T(n, n, 2, 2, 2), T(n, n, 2, 2, 2), bias=T(n)),
    ], ranks, known_strict=known_strictness)  # fmt: skip
    cover(
        [Case("conv_transpose1d", T(n, n, 4), T(n, 1, 3), T(n), groups=n)],
        ranks, min_accepted=4, known_strict=known_strictness,
    )  # fmt: skip


@RANKS
def test_pooling(ranks):
    n = ranks
    cover([
        Case("avg_pool1d", T(n, 2, 2 * n), 2, call=torch.nn.functional.avg_pool1d),
        Case("avg_pool2d", T(n, n, 2, 4), 2, ceil_mode=True, call=torch.nn.functional.avg_pool2d),
        Case("max_pool1d", T(n, 2, 3 * n), 3, 2, 1),
        Case("max_pool2d", T(n, n, 4, 4), kernel_size=2, stride=1),
        Case("adaptive_avg_pool1d", T(n, n, 4), 1),
        Case("adaptive_avg_pool2d", T(n, n, 4, 4), (2, 1)),
    ], ranks, known_strict=known_strictness)  # fmt: skip


def test_a_deferred_bias_is_left_out():
    x, weight = Operand(sharded(1), (2, 4)), Operand(sharded(1), (6, 4))
    assert infer_result_types("linear", x, weight, Operand(DEFERRED_BIAS, (6,)), results=((2, 6),)) is PARTIAL
    with pytest.raises(RuleViolation) as caught:
        infer_result_types("linear", x, weight, Operand(REPLICATED, (6,)), results=((2, 6),))
    assert caught.value.law == "partial"
    with pytest.raises(Unsupported):
        infer_result_types("mul", Operand(PARTIAL, (2, 6)), Operand(DEFERRED_BIAS, (6,)), results=((2, 6),))


def test_the_simulation_finds_a_bias_added_on_every_rank():
    """The harness is not blind: a rule that is wrong fails."""

    def careless(operation):
        if [o.type for o in operation.operands()] == [sharded(1), sharded(1), REPLICATED]:
            return PARTIAL
        raise Unsupported("not asked")

    with pytest.raises(AssertionError, match="other numbers"):
        sweep(Case("linear", T(2, 4), T(6, 4), T(6)), 2, infer=careless, refused=0, limit=5000)
