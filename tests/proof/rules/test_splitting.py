"""Rules of pieces and of moved entries, against numbers."""

from __future__ import annotations

import pytest
import torch

from planc.proof.rules.operation import RankDependent, RuleViolation, Unsupported
from planc.proof.sentences import describe_cause
from planc.proof.types import CONSTANT, INVARIANT, PARTIAL, packed_shard, sharded
from planc.proof.violations import FusedSlice
from tests.proof.rules.case_tables import compare_cases, make_operand
from tests.proof.rules.harness import Case, NumericMismatch, T, infer_result_types, sweep


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_splitting_against_torch(ranks):
    n = ranks
    x = T(n, 3, 2 * n)
    fused = T(3, 3 * n)  # packed as (n, 2 * n)
    one, two = RankDependent(n, 1), RankDependent(2 * n, 2)
    cases = [
        Case("split", x, 2, 1),
        Case("split", x, (1, 2), dim=1),
        Case("split", x, split_size_or_sections=n, dim=-1, call=torch.split),
        Case("split", x, n, -1),
        Case("split", fused, (one, two), -1),
        Case("split", fused, (n, 2 * n), -1),
        Case("split", T(3, 2 * n), one, 1),
        Case("split", T(2 * n), 2 * n),
        Case("split_with_sizes", fused, (one, two), 1),
        Case("split_with_sizes", x, split_sizes=(2, 1), dim=1, call=torch.split_with_sizes),
        Case("chunk", x, 2, -1),
        Case("chunk", x, 2, 1),
        Case("chunk", x, chunks=3, dim=0),
        Case("chunk", T(3, 2 * n), 2, dim=1),
        Case("tensor_split", x, 2, 1),
        Case("tensor_split", x, (1,), dim=-2),
        Case("tensor_split", fused, (one,), 1),
        Case("tensor_split", x, indices=(1, 1), dim=1),
        Case("unbind", x),
        Case("unbind", x, 1),
        Case("unbind", x, dim=-1),
        Case("__iter__", x, call=list),
        Case("select", x, 1, 0),
        Case("select", x, dim=-1, index=-1),
        Case("select", T(3, n, n), 0, 1),
        Case("narrow", x, 1, 1, 2),
        Case("narrow", x, 0, 0, n),
        Case("narrow", x, -1, 0, two),
        Case("narrow", fused, 1, one, two),
        Case("narrow", fused, dim=1, start=0, length=one),
    ]
    compare_cases(cases, ranks, min_accepted=200)


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_roll_and_pad_against_torch(ranks):
    n = ranks
    x = T(n, 3, 2 * n)
    cases = [
        Case("roll", x, 1, 1),
        Case("roll", x, (1, 2), (0, 1), call=torch.roll),
        Case("roll", x, shifts=1, dims=-1),
        Case("roll", x, 2),
        Case("flip", x, 1),
        Case("flip", x, 0, 2),
        Case("flip", x, (1,)),
        Case("flip", x, dims=(1, 2)),
        Case("pad", x, (1, 0)),
        Case("pad", x, (0, 0, 1, 2)),
        Case("pad", x, pad=(0, 0, 0, 1), value=3.0),
        Case("pad", x, (1, 1), mode="replicate"),
        Case("pad", x, (0, 0, 2, 0), "constant", 0),
        Case("unfold", x, 1, 2, 1, call=torch.Tensor.unfold),
        Case("unfold", x, dimension=-1, size=n, step=n, call=torch.Tensor.unfold),
        Case("unfold", T(n, n, 4, 4), 2, stride=2, call=torch.nn.functional.unfold),
        Case("unfold", T(n, 4, 2), (2, 1), padding=1, call=torch.nn.functional.unfold),
        Case("tril", x),
        Case("triu", x, 1),
        Case("tril", T(n, 2, n, 3), diagonal=-1),
        Case("triu", T(2 * n, n, n), diagonal=1),
    ]
    compare_cases(cases, ranks, min_accepted=140, known_strict=known)


def known(case, types):
    if case.name == "unfold":
        return "windows that do not overlap, a whole number of them on each rank"
    return None


def fused(*bounds, kind=None, ranks=4):
    """A projection to 16 + 8 + 8 that is cut into q, k and v."""
    x = make_operand((2, 32), kind or packed_shard(1, (16, 8, 8)))
    sizes = tuple(item.global_value if isinstance(item, RankDependent) else item for item in bounds)
    return infer_result_types("split", x, bounds, -1, results=tuple((2, size) for size in sizes), ranks=ranks)


def test_pieces_of_a_fused_projection():
    q, k, both = RankDependent(16, 4), RankDependent(8, 2), RankDependent(24, 6)
    assert fused(q, k, k) == (sharded(1), sharded(1), sharded(1))
    assert fused(both, k) == (packed_shard(1, (16, 8)), sharded(1))
    equal = make_operand((2, 24), packed_shard(1, (8, 8, 8)))
    assert infer_result_types("chunk", equal, 3, dim=-1, results=((2, 8),) * 3, ranks=4) == (sharded(1),) * 3
    for law, bounds, kind in (
        ("size-written", (16, 8, 8), None),
        ("cut-along", (k, q, k), None),
        ("cut-along", (RankDependent(16, 5), k, RankDependent(8, 1)), None),
        ("cut-along", (q, k, k), sharded(1)),
        ("size-read", (q, k, k), INVARIANT),
    ):
        with pytest.raises(RuleViolation) as refused:
            fused(*bounds, kind=kind)
        assert refused.value.law == law
    with pytest.raises(RuleViolation) as refused:
        fused(q, k, k, kind=sharded(1))
    assert isinstance(refused.value.cause, FusedSlice)
    assert "packed_colwise" in describe_cause(refused.value.cause).needed


def test_unsupported_arguments():
    x, places = make_operand((4, 8), INVARIANT), make_operand((2,), CONSTANT, "int64")
    for name, arguments, results in (
        ("tensor_split", (x, places), ((2, 8), (2, 8))),
        ("tensor_split", (x, (-2,)), ((2, 8), (2, 8))),
        ("unfold", (make_operand((1, 4, 8, 8), packed_shard(1, (2, 2))), 3), ((1, 36, 36),)),
        ("split", (x, 2, 0, 1), ((2, 8), (2, 8))),
        ("narrow", (x, 0, places, 1), ((1, 8),)),
    ):
        with pytest.raises(Unsupported):
            infer_result_types(name, *arguments, results=results)
    with pytest.raises(RuleViolation) as refused:
        infer_result_types("pad", make_operand((4, 8), PARTIAL), (1, 1), value=1.0, results=((4, 10),))
    assert refused.value.law == "partial"


def test_the_simulation_finds_a_split_along_the_sharded_dim():
    with pytest.raises(NumericMismatch):
        sweep(Case("chunk", T(2, 8, types=(sharded(1),)), 2, 1), 2, infer=lambda _: (sharded(1), sharded(1)))
    with pytest.raises(NumericMismatch):
        sweep(Case("flip", T(2, 4, types=(sharded(1),)), 1), 2, infer=lambda _: sharded(1))
