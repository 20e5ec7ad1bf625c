"""Rules of attention, embedding, losses."""

from __future__ import annotations

import pytest
import torch

from planc.proof.rules.operation import Operand, RuleViolation, Unsupported
from planc.proof.types import CONSTANT, INVARIANT, PARTIAL, REPLICATED, sharded
from tests.proof.rules.harness import Case, T, cover, infer_result_types, sweep
from tests.proof.rules.known_strictness import known_strictness
from tests.proof.rules.test_pointwise import positive

RANKS = pytest.mark.parametrize("ranks", [2, 3, 4])
NAME = "scaled_dot_product_attention"


@RANKS
def test_attention(ranks):
    n = ranks
    query = T(2, n, n, n)
    cover([
        Case(NAME, T(2, n, 3, n), T(2, n, 3, n), T(2, n, 3, n), is_causal=True),
        Case(NAME, T(n, 2 * n, 2, n), T(n, n, 3, n), T(n, n, 3, 2 * n), enable_gqa=True),
        Case(NAME, query, T(2, n, n, n), T(2, n, n, n), attn_mask=T(2, 1, n, n, kind="bool", like=_mask), scale=0.3),
        Case(NAME, query, T(2, n, n, n), T(2, n, n, n), T(1, n, n, n)),
        Case(NAME, query, T(2, n, n, n), T(2, n, n, n), T(n, n), 0.0),
        Case(NAME, T(n, 3, n), T(n, 2, n), T(n, 2, n)),
        Case(NAME, T(1, n, 3, n), T(1, 1, 3, n), T(1, 1, 3, n), enable_gqa=True),
        Case(NAME, T(n, 2, 3, n), T(n, 2, 3, n), T(n, 2, 3, n), attn_mask=T(n, 1, 1, 3)),
    ], ranks, known_strict=known_strictness)  # fmt: skip


def _mask(shape, generator):
    mask = torch.rand(shape, generator=generator) < 0.6
    mask[..., 0] = True
    return mask


def test_a_sharded_sequence_has_a_law_of_its_own():
    q, k = Operand(sharded(2), (2, 4, 8, 4)), Operand(REPLICATED, (2, 4, 8, 4))
    for operands in ((q, q, q), (q, k, k), (k, q, q)):
        with pytest.raises(RuleViolation) as caught:
            infer_result_types(NAME, *operands, results=((2, 4, 8, 4),))
        assert caught.value.law == "sequence"
    with pytest.raises(RuleViolation) as caught:
        infer_result_types(NAME, *(Operand(sharded(3), (2, 4, 8, 4)),) * 3, results=((2, 4, 8, 4),))
    assert caught.value.law == "cut-along"


def test_replicated_kv_heads_with_sharded_heads_are_refused():
    q, k = Operand(sharded(1), (2, 4, 8, 4)), Operand(REPLICATED, (2, 2, 8, 4))
    with pytest.raises(RuleViolation) as caught:
        infer_result_types(NAME, q, k, k, enable_gqa=True, results=((2, 4, 8, 4),))
    assert caught.value.law == "meet"


def test_the_simulation_finds_heads_of_another_rank():
    """The harness is not blind: whole kv heads beside split heads give numbers, but wrong ones."""

    def careless(operation):
        kinds = [o.type for o in operation.operands()]
        if kinds == [sharded(1), CONSTANT, CONSTANT]:
            return sharded(1)
        raise Unsupported("not asked")

    case = Case(NAME, T(1, 4, 3, 2), T(1, 2, 3, 2), T(1, 2, 3, 2), enable_gqa=True)
    with pytest.raises(AssertionError, match="other numbers"):
        sweep(case, 2, infer=careless, refused=0, limit=2000)


def _rowwise(ids, weight, padding_idx=None, *, rank, ranks):
    """What a style that masks the lookup makes of an embedding: the rows of its rank, zeros for others."""
    own = weight.shape[0]
    place = ids - rank * own
    there = (place >= 0) & (place < own)
    if padding_idx is not None:
        padding_idx = padding_idx - rank * own if 0 <= padding_idx - rank * own < own else None
    rows = torch.nn.functional.embedding(torch.where(there, place, 0), weight)
    if padding_idx is not None:
        rows = torch.where((place == padding_idx)[..., None], rows.detach(), rows)
    return torch.where(there[..., None], rows, 0.0)


@RANKS
def test_embedding(ranks):
    n = ranks
    ids = T(2, n, kind="int", low=0, high=2 * n)
    cover([
        Case("embedding", ids, T(2 * n, n)),
        Case("embedding", T(2 * n, kind="int", low=0, high=n), T(n, n), padding_idx=1),
        Case("embedding", T(n, n, kind="int", low=0, high=n), T(n, 2), 0, None, 2.0, False, False),
    ], ranks, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_rowwise_embedding(ranks):
    n = ranks
    table = T(2 * n, n, types=(sharded(0),))
    ids = T(2, n, kind="int", low=0, high=2 * n, types=(CONSTANT, sharded(1), PARTIAL))
    for padding in ({}, {"padding_idx": 1}):
        case = Case("embedding", ids, table, local=_rowwise, masks_lookup=True, **padding)
        count = sum((sweep(case, n, seed=s, refused=20, accepted=30)["accepted"] for s in range(40)), 0)
        assert count >= 70


def test_a_table_sharded_by_rows_needs_a_masked_lookup():
    ids, table = Operand(CONSTANT, (2, 4), False, "int64"), Operand(sharded(0), (8, 6))
    assert infer_result_types("embedding", ids, table, masks_lookup=True, results=((2, 4, 6),)) is PARTIAL
    with pytest.raises(RuleViolation) as caught:
        infer_result_types("embedding", ids, table, results=((2, 4, 6),))
    assert caught.value.law == "cut-along"
    with pytest.raises(Unsupported):
        infer_result_types("embedding", ids, Operand(INVARIANT, (8, 6)), max_norm=1.0, results=((2, 4, 6),))


@RANKS
def test_one_hot(ranks):
    n = ranks
    ids = T(2, n, kind="int", low=0, high=n)
    cover(
        [Case("one_hot", ids, n), Case("one_hot", ids, num_classes=2 * n)],
        ranks,
        known_strict=known_strictness,
    )
    with pytest.raises(Unsupported):
        infer_result_types(
            "one_hot", Operand(sharded(1), (2, n), False, "int64"), results=((2, n, n),), ranks=n
        )


@RANKS
def test_losses(ranks):
    n = ranks

    def classes(*shape):
        return T(*shape, kind="int", low=0, high=n)

    cover([
        Case("cross_entropy", T(2 * n, n), classes(2 * n)),
        Case("cross_entropy", T(n, n), classes(n), reduction="sum", ignore_index=0),
        Case("cross_entropy", T(n, n), classes(n), weight=T(n, kind="bool", like=positive), reduction="none"),
        Case("cross_entropy", T(n, n, n), classes(n, n), reduction="sum", label_smoothing=0.1),
        Case("cross_entropy", T(n, n, 2), classes(n, 2), None, None, -100, None, "none"),
        Case("cross_entropy", T(n, n), T(n, n), reduction="sum"),
        Case("cross_entropy", T(n), classes(), reduction="sum"),
        Case("nll_loss", T(n, n), classes(n), reduction="sum"),
        Case("mse_loss", T(n, n), T(n, n), reduction="sum"),
        Case("mse_loss", T(n, 2), T(n, 2)),
        Case("l1_loss", T(n, 2), T(n, 2), reduction="none"),
            Case("huber_loss", T(n, 2), T(n, 2), reduction="sum", delta=0.5),
            Case("kl_div", T(n, 2), T(n, 2, like=positive), reduction="sum"),
            Case("binary_cross_entropy", T(n, 2, like=positive), T(n, 2, like=positive), reduction="sum"),
        Case("smooth_l1_loss", T(n, 2), T(n, 2), reduction="sum", beta=0.5),
        Case("binary_cross_entropy_with_logits", T(n, n), T(n, n), weight=T(n, kind="bool", like=positive), reduction="sum"),
    ], ranks, known_strict=known_strictness)  # fmt: skip
