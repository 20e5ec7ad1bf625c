"""Rules of repeated numbers, against numbers."""

from __future__ import annotations

import pytest

from planc.ir.graph import Slice
from planc.proof.rules.operation import RankDependent, RuleViolation, Unsupported
from planc.proof.types import CONSTANT, INVARIANT, REPLICATED, packed_shard, sharded
from tests.proof.rules.case_tables import compare_cases, make_operand
from tests.proof.rules.harness import Case, NumericMismatch, T, infer_result_types, sweep


def share(whole, ranks):
    return RankDependent(whole, whole // ranks)


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_expand_against_torch(ranks):
    n = ranks
    some, all_ = share(2 * n, n), T(n, 1, 2 * n)
    cases = [
        Case("expand", all_, -1, 3, -1),
        Case("expand", all_, n, 3, 2 * n),
        Case("expand", all_, (2, -1, 4, -1)),
        Case("expand", all_, size=(-1, 2, 2 * n)),
        Case("expand", T(3, 1, 2), 3, some, 2),
        Case("expand", T(3, 2), (some, 3, 2)),
        Case("expand", T(3, 2 * n), (2, 3, some)),
        Case("expand", T(1), n),
        Case("expand", T(), 2, 2 * n),
        Case("expand", T(n, 2 * n), (share(n, n), 2 * n)),
        Case("broadcast_to", T(2 * n, 1), (2, -1, 3), call=lambda x, s: x.expand(*s)),
        Case("broadcast_to", T(1, n), (some, n)),
        Case("expand_as", T(n, 1), T(n, 2 * n)),
        Case("expand_as", T(2 * n), T(2, 2 * n)),
        Case("expand_as", T(1, 2), other=T(2 * n, 2)),
        Case("repeat", T(n, 3), 2, 2),
        Case("repeat", T(n, 2 * n), (2, 1, 3)),
        Case("repeat", T(n, 2 * n), repeats=(1, 3)),
        Case("repeat", T(3, n), some, 1),
        Case("repeat", T(3, 2), (2, 2, some)),
        Case("tile", T(n, 2 * n), 3),
        Case("tile", T(2, 3), (some,)),
        Case("tile", T(2, 2 * n), dims=(2, 2, 1)),
        Case("repeat_interleave", T(n, 2 * n), 2, 1),
        Case("repeat_interleave", T(n, 2 * n), 3, dim=0),
        Case("repeat_interleave", T(n, 2 * n), repeats=2, dim=-1),
        Case("repeat_interleave", T(2, 1, 3), some, 1),
        Case("repeat_interleave", T(n, 3), 2),
        Case("broadcast_tensors", T(2 * n, 1), T(3)),
        Case("broadcast_tensors", T(2 * n, 1), T(n)),
    ]
    compare_cases(cases, ranks, min_accepted=250, known_strict=known)


def known(case, types):
    if case.name == "repeat_interleave" and "dim" not in case.keywords and len(case.arguments) < 3:
        return "without a dim the tensor is flattened first: not followed"
    return None


def test_repeated_kv_heads():
    """x[:, :, None].expand(b, kv, rep, s, d).reshape(b, kv * rep, s, d)"""
    kv, heads = RankDependent(4, 2), RankDependent(12, 6)
    full = Slice(None, None, None)
    x = make_operand((2, 4, 5, 8), sharded(1))
    wide = infer_result_types("__getitem__", x, (full, full, None, full, full), results=((2, 4, 1, 5, 8),))
    x = make_operand((2, 4, 1, 5, 8), wide)
    shape = (2, 4, 3, 5, 8)
    x = make_operand(shape, infer_result_types("expand", x, 2, kv, 3, 5, 8, results=(shape,)))
    assert infer_result_types("reshape", x, 2, heads, 5, 8, results=((2, 12, 5, 8),)) is sharded(1)
    with pytest.raises(RuleViolation) as refused:
        infer_result_types("reshape", x, 2, 12, 5, 8, results=((2, 12, 5, 8),))
    assert refused.value.law == "size-written"


@pytest.mark.parametrize(
    ("kind", "shape", "sizes", "law"),
    [
        (INVARIANT, (1, 4), (RankDependent(8, 4), 4), "gradient"),
        (REPLICATED, (1, 4), (RankDependent(8, 7), 4), "size-read"),
        (REPLICATED, (8, 4), (RankDependent(8, 4), 4), "size-read"),
        (sharded(1), (1, 4), (RankDependent(8, 4), -1), "meet"),
        (sharded(0), (8, 4), (8, 4), "size-written"),
        (sharded(0), (2, 4), (2, 4), "size-written"),
        (CONSTANT, (1, 1), (RankDependent(8, 4), RankDependent(8, 4)), "size-read"),
    ],
)
def test_wrong_sizes(kind, shape, sizes, law):
    result = tuple(
        size.global_value if isinstance(size, RankDependent) else shape[d] if size == -1 else size
        for d, size in enumerate(sizes)
    )
    with pytest.raises(RuleViolation) as refused:
        infer_result_types("expand", make_operand(shape, kind), *sizes, results=(result,))
    assert refused.value.law == law


def test_repeated_packed_shards():
    x = make_operand((2, 8), packed_shard(1, (4, 4)))
    assert infer_result_types("repeat_interleave", x, 3, 1, results=((2, 24),)) is packed_shard(1, (12, 12))
    with pytest.raises(Unsupported):
        infer_result_types(
            "repeat_interleave", x, make_operand((8,), CONSTANT, "int64"), 1, results=((2, 24),)
        )


def test_the_simulation_finds_an_unreduced_gradient():
    with pytest.raises(NumericMismatch):
        sweep(Case("expand", T(1, 2, types=(INVARIANT,)), (share(4, 2), 2)), 2, infer=lambda _: sharded(0))
