"""Rules of brackets, against numbers."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import torch

from planc.ir.graph import Slice, TorchConstant
from planc.proof.rules.operation import RankDependent, RuleViolation, Unsupported
from planc.proof.types import CONSTANT, INVARIANT, PARTIAL, REPLICATED, local_index, packed_shard, sharded
from tests.proof.rules.case_tables import compare_cases, make_operand
from tests.proof.rules.harness import Case, NumericMismatch, T, infer_result_types, sweep

FULL, DOTS = Slice(None, None, None), TorchConstant("...")


def ids(*shape, high):
    return T(*shape, kind="int", low=0, high=high)


def entry(rng, size, ranks):
    """An index for a dim of that size, and whether it takes a place of its own."""
    return rng.choice(
        [
            FULL,
            FULL,
            rng.randrange(-size, size),
            Slice(None, size, None),
            Slice(rng.randrange(size), None, None),
            Slice(-(size // 2), None, None),
            Slice(None, None, 2),
            Slice(0, RankDependent(size, max(size // ranks, 1)), None),
            ids(2, high=size),
            ids(2 * ranks, high=size),
            ids(2, 1, high=size),
            (0, size - 1),
        ]
    )


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_random_indexes_against_torch(ranks):
    rng, count = random.Random(ranks), Counter()
    for seed in range(200):
        shape = tuple(rng.choice([2, 3, ranks, 2 * ranks]) for _ in range(rng.randint(1, 4)))
        index = [entry(rng, size, ranks) for size in shape]
        if rng.random() < 0.4:
            index.insert(rng.randrange(len(index) + 1), None)
        if rng.random() < 0.4:
            first = rng.randrange(len(index) + 1)
            index[first : rng.randrange(first, len(index) + 1)] = [DOTS]
        if sum(isinstance(item, T | tuple) for item in index) > 1 and rng.random() < 0.7:
            index = [FULL if isinstance(item, tuple) else item for item in index]
        index = index[: rng.randint(1, len(index))]
        case = Case(
            "__getitem__", T(*shape), index[0] if len(index) == 1 and rng.random() < 0.5 else tuple(index)
        )
        try:
            case.call(torch.zeros(shape), _plain(case.arguments[1]))
        except IndexError:
            continue
        count += sweep(case, ranks, seed=seed, accepted=15, refused=15)
    print(dict(count))
    assert count["accepted"] > 800, count


def _plain(item):
    if isinstance(item, tuple):
        return tuple(_plain(part) if not isinstance(part, tuple) else list(part) for part in item)
    if isinstance(item, T):
        return torch.zeros(item.shape, dtype=torch.int64)
    if isinstance(item, Slice):
        return slice(
            *(
                part.global_value if isinstance(part, RankDependent) else part
                for part in (item.start, item.stop, item.step)
            )
        )
    return ... if isinstance(item, TorchConstant) else item


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_gathered_rows_against_torch(ranks):
    n = ranks
    x = T(n, 3, 2 * n)
    cases = [
        Case("__getitem__", x, ids(2 * n, high=n)),
        Case("__getitem__", x, ids(n, 2, high=n)),
        Case("__getitem__", x, (FULL, ids(n, high=3))),
        Case("__getitem__", x, (DOTS, ids(2, n, high=2 * n))),
        Case("__getitem__", x, (ids(n, high=n), ids(n, high=3))),
        Case("__getitem__", x, (ids(n, 1, high=n), FULL, ids(2, high=2 * n))),
        Case("__getitem__", x, (ids(high=n), FULL)),
        Case("index_select", x, 1, ids(n, high=3)),
        Case("index_select", x, dim=-1, index=ids(2 * n, high=2 * n)),
    ]
    compare_cases(cases, ranks, min_accepted=80)


def put(x, index, value):
    x[index] = value
    return x


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_index_writes_against_torch(ranks):
    n = ranks
    x = T(n, 3, 2 * n)
    cases = [
        Case("__setitem__", x, (FULL, 0), 1.5, call=put),
        Case("__setitem__", x, (DOTS, Slice(None, n, None)), 0, call=put),
        Case("__setitem__", x, (FULL, Slice(1, None, None)), T(n, 2, 2 * n), call=put),
        Case("__setitem__", x, (FULL, 1), T(2 * n), call=put),
        Case("__setitem__", x, (FULL, 1), T(n, 1), call=put),
        Case("__setitem__", x, FULL, T(n, 3, 2 * n), call=put),
        Case("__setitem__", x, DOTS, T(), call=put),
        Case("__setitem__", x, (0, FULL), T(3, 2 * n), call=put),
        Case("__setitem__", x, T(n, 3, kind="bool"), 2.0, call=put),
        Case("__setitem__", x, T(n, 3, 2 * n, kind="bool"), T(), call=put),
        Case("__setitem__", T(3, n), ids(1, high=3), T(n), call=put),
        Case("index_put", T(3, n), (ids(1, high=3),), T(1, n)),
        Case("index_put", T(3, n), (ids(2, high=3),), T(2, n), accumulate=True),
        Case("index_put_", T(3, n), (ids(1, high=3),), T(n), call=lambda x, i, y: x.index_put(i, y)),
    ]
    compare_cases(cases, ranks, min_accepted=150, known_strict=writing)


def writing(case, types):
    if types[0] is CONSTANT or PARTIAL in types:
        return "in place: what is written to keeps its type, another name of it may be in use"
    if case.arguments[1] in (FULL, DOTS):
        return "what is written over keeps its type"
    return None


def index_type(kind, *index, shape=(4, 8), result=None, ranks=2):
    return infer_result_types(
        "__getitem__", make_operand(shape, kind), index, results=(result or shape,), ranks=ranks
    )


def test_bounds_that_a_rank_has_of_its_own():
    length, half = RankDependent(8, 4), Slice(None, 4, None)
    assert index_type(sharded(1), FULL, Slice(None, length, None)) is sharded(1)
    assert index_type(sharded(1), DOTS, Slice(None, 100, None)) is sharded(1)
    assert index_type(sharded(0), FULL, half, result=(4, 4)) is sharded(0)
    for law, kind, stop in (
        ("size-read", REPLICATED, length),
        ("size-read", sharded(0), length),
        ("cut-along", sharded(1), 4),
        ("cut-along", sharded(1), RankDependent(4, 2)),
        ("size-written", packed_shard(1, (4, 4)), 4),
        ("cut-along", packed_shard(1, (6, 2)), RankDependent(4, 2)),
    ):
        with pytest.raises(RuleViolation) as refused:
            index_type(kind, FULL, Slice(0, stop, None), result=(4, 4 if stop != length else 8))
        assert refused.value.law == law
    with pytest.raises(RuleViolation) as refused:
        index_type(REPLICATED, FULL, RankDependent(7, 3), result=(4,))
    assert refused.value.law == "size-read"


def test_pieces_of_a_fused_projection():
    q, k = RankDependent(16, 4), RankDependent(24, 6)
    shape, kind = (2, 32), packed_shard(1, (16, 8, 8))
    for start, stop, size, result in (
        (None, q, 16, sharded(1)),
        (q, k, 8, sharded(1)),
        (k, None, 8, sharded(1)),
        (None, k, 24, packed_shard(1, (16, 8))),
        (q, None, 16, packed_shard(1, (8, 8))),
    ):
        assert (
            index_type(kind, DOTS, Slice(start, stop, None), shape=shape, result=(2, size), ranks=4) is result
        )


def test_unsupported_indexes():
    mask, numbers = make_operand((4, 8), CONSTANT, "bool"), make_operand((2,), CONSTANT, "int64")
    for index in (
        (mask,),
        (True,),
        (TorchConstant("torch.float32"),),
        (make_operand((3,), CONSTANT, "uint8"),),
        (make_operand((3,), CONSTANT),),
        ((True, False),),
        (0, 0, 0),
        (make_operand((), CONSTANT, "int64"), numbers),
        (FULL, FULL),
    ):
        with pytest.raises(Unsupported):
            index_type(INVARIANT, *index, result=(3,))
    with pytest.raises(RuleViolation) as refused:
        index_type(INVARIANT, make_operand((3,), PARTIAL, "int64"), result=(3, 8))
    assert refused.value.law == "partial"


def test_local_indexes():
    """x[arange(len(x)), last] of a split batch, as a classifier takes the last token."""
    rows = make_operand((4,), local_index(0, 4), "int64")
    last = make_operand((4,), sharded(0), "int64")
    assert index_type(sharded(0), rows, last, result=(4,)) is sharded(0)
    assert index_type(sharded(0), rows, result=(4, 8)) is sharded(0)
    for law, kind, index, result in (
        ("size-read", REPLICATED, (rows,), (4, 8)),
        ("size-read", sharded(1), (rows,), (4, 8)),
        ("size-read", sharded(1), (FULL, rows), (4, 4)),
        ("meet", sharded(0), (rows, make_operand((4,), CONSTANT, "int64")), (4,)),
    ):
        with pytest.raises(RuleViolation) as refused:
            index_type(kind, *index, result=result)
        assert refused.value.law == law


def test_halves_of_a_rotation():
    """x[..., : d // 2], and x.chunk(2, -1), on split heads"""
    shape, half = (2, 4, 5, 8), (2, 4, 5, 4)
    assert index_type(sharded(1), DOTS, Slice(None, 4, None), shape=shape, result=half) is sharded(1)
    x = make_operand(shape, sharded(1))
    assert infer_result_types("chunk", x, 2, dim=-1, results=(half, half)) == (sharded(1), sharded(1))
    assert infer_result_types(
        "cat", (make_operand(half, sharded(1)),) * 2, dim=-1, results=(shape,)
    ) is sharded(1)


def test_the_simulation_finds_a_slice_along_the_sharded_dim():
    case = Case(
        "__getitem__",
        T(2, 8, types=(sharded(1),)),
        (FULL, Slice(4, None, None)),
        local=lambda x, _, **__: x[:, 2:],
    )
    with pytest.raises(NumericMismatch):
        sweep(case, 2, infer=lambda _: sharded(1))
    with pytest.raises(NumericMismatch):
        sweep(Case("__getitem__", T(4, 2, types=(INVARIANT,)), ids(4, high=4)), 2, infer=lambda _: REPLICATED)
