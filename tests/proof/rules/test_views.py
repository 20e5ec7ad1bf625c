"""Rules of views, against numbers: any shape to any other one, with sizes that are written out,
left to torch, or read off the rank's own."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from math import prod

import pytest
import torch

from planc.proof.rules import views
from planc.proof.rules.operation import RankDependent, RuleViolation, Unsupported
from planc.proof.types import REPLICATED, SpmdType, local_shape, packed_shard, sharded
from planc.proof.violations import MergedInnerDim, UnevenDim, UnevenParts
from tests.proof.rules.case_tables import compare_cases, make_operand
from tests.proof.rules.harness import Case, NumericMismatch, T, infer_result_types, local_shards, sweep


def factored(rng: random.Random, numbers: list[int]) -> tuple[int, ...]:
    """A shape: neighbours multiplied, sometimes a dim of size 1 between them."""
    shape = [numbers[0]]
    for number in numbers[1:]:
        if rng.random() < 0.5:
            shape[-1] *= number
        else:
            shape.append(number)
    while rng.random() < 0.3:
        shape.insert(rng.randrange(len(shape) + 1), 1)
    return tuple(shape)


def requested_shape(rng: random.Random, shape: tuple[int, ...], ranks: int) -> tuple:
    """The sizes that a piece of code gives for that shape."""
    even = [d for d, size in enumerate(shape) if size % ranks == 0]
    sizes: list = list(shape)
    if even and rng.random() < 0.9:
        d = rng.choice(even)
        sizes[d] = RankDependent(shape[d], shape[d] // ranks) if rng.random() < 0.7 else -1
    if -1 not in sizes and rng.random() < 0.3:
        sizes[rng.randrange(len(sizes))] = -1
    return tuple(sizes)


@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("name", ["view", "reshape"])
def test_random_views_against_torch(name, ranks):
    rng, count = random.Random(f"{name} {ranks}"), Counter()
    for seed in range(60):
        numbers = rng.choices([2, 3, ranks, 2 * ranks], k=rng.randint(1, 4))
        before, after = factored(rng, numbers), factored(rng, numbers)
        count += sweep(
            Case(name, T(*before), requested_shape(rng, after, ranks)),
            ranks,
            seed=seed,
            accepted=30,
            refused=30,
        )
    assert count["accepted"] > 200, count


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_flatten_unflatten_and_shapes_of_others(ranks):
    n = ranks
    cases = [
        Case("flatten", T(n, 2, 2 * n)),
        Case("flatten", T(2, n, 2 * n), 1),
        Case("flatten", T(n, 2, 1, n), start_dim=0, end_dim=-2),
        Case("ravel", T(n, 3)),
        Case("unflatten", T(2, 2 * n), 1, (-1, 2)),
        Case("unflatten", T(2, 2 * n), 1, (n, 2)),
        Case("unflatten", T(2 * n, n), 0, (2, -1)),
        Case("unflatten", T(2, n * n), -1, (RankDependent(n, 1), n)),
        Case("unflatten", T(2, 2 * n, 1), dim=1, sizes=(RankDependent(2 * n, 2), 1)),
        Case("view_as", T(2 * n, 3), T(n, 2, 3)),
        Case("reshape_as", T(n, 2, 3), T(n, 6)),
        Case("view_as", T(n, 2, n), other=T(n, 2 * n)),
        Case("view_as_complex", T(n, 2 * n, 2), call=lambda x: torch.view_as_complex(x).real),
    ]
    compare_cases(cases, ranks, min_accepted=140, accepted=50, refused=50)


@pytest.mark.parametrize("seed", range(4))
def test_random_views_of_packed_shards(seed):
    rng, count = random.Random(seed), Counter()
    for _ in range(1500):
        ranks = rng.choice([2, 3, 4])
        numbers = rng.choices([2, 3, ranks, 2 * ranks, 3 * ranks], k=rng.randint(1, 4))
        before, after = factored(rng, numbers), factored(rng, numbers)
        dim = rng.randrange(len(before))
        if before[dim] % ranks == 0:
            kind = cut(rng, dim, before[dim], ranks)
            count[go(kind, before, after, ranks)] += 1
    assert count["Sharded"] > 200, count
    assert count["PackedShard"] > 100, count


def cut(rng, dim, size, ranks):
    """A random way to share a dim."""
    unit = size // ranks
    places = sorted(rng.sample(range(1, unit), rng.randint(0, min(3, unit - 1))))
    if rng.random() < 0.3:
        places = [i for i in range(1, unit) if i % 2 == 0] if unit % 2 == 0 else []
    parts = tuple(ranks * (b - a) for a, b in pairwise([0, *places, unit]))
    return packed_shard(dim, parts) if len(parts) > 1 else sharded(dim)


def go(kind, before, after, ranks):
    """Compare the answer with numbered entries; where there is none, no split may be right."""
    whole = torch.arange(prod(before)).view(before)
    shards = local_shards(whole, kind, ranks, torch.Generator())

    def right(answer):
        shape, wanted = (
            local_shape(after, answer, ranks),
            local_shards(whole.view(after), answer, ranks, torch.Generator()),
        )
        return all(torch.equal(own.reshape(shape), want) for own, want in zip(shards, wanted, strict=True))

    try:
        answer = views.reshaped_type(kind, before, after, ranks)
    except RuleViolation:
        options = [sharded(d) for d, size in enumerate(after) if size % ranks == 0]
        assert not any(map(right, options)), (kind, before, after)
        return "refused"
    assert right(answer), (kind, before, after, answer)
    return type(answer).__name__


@pytest.mark.parametrize(
    ("before", "after", "kind", "result"),
    [
        ((2, 5, 32), (2, 5, 8, 4), sharded(2), sharded(2)),
        ((2, 5, 8, 4), (2, 5, 32), sharded(2), sharded(2)),
        ((2, 1, 8), (2, 8, 1), sharded(2), sharded(1)),
        ((10, 24), (10, 24), packed_shard(1, (8, 16)), packed_shard(1, (8, 16))),
        ((10, 24), (10, 3, 8), packed_shard(1, (8, 8, 8)), sharded(2)),
        ((10, 24), (10, 3, 4, 2), packed_shard(1, (8, 8, 8)), sharded(2)),
        ((10, 32), (10, 16, 2), packed_shard(1, (16, 8, 8)), packed_shard(1, (8, 4, 4))),
        ((10, 16, 2), (10, 32), packed_shard(1, (8, 4, 4)), packed_shard(1, (16, 8, 8))),
        ((2, 5, 24), (10, 24), packed_shard(2, (8, 16)), packed_shard(1, (8, 16))),
        ((2, 8, 16), (16, 16), sharded(1), packed_shard(0, (8, 8))),
        ((16, 16), (2, 8, 16), packed_shard(0, (8, 8)), sharded(1)),
        ((1, 8, 16), (8, 16), sharded(1), sharded(0)),
        ((2, 16), (4, 8), packed_shard(1, (8, 8)), sharded(1)),
        ((6, 8, 3), (2, 24, 3), sharded(1), packed_shard(1, (8, 8, 8))),
        ((3, 24), (72,), packed_shard(1, (8, 16)), packed_shard(0, (8, 16) * 3)),
        ((72,), (3, 24), packed_shard(0, (8, 16) * 3), packed_shard(1, (8, 16))),
    ],
)
def test_views_of_shards(before, after, kind, result):
    assert views.reshaped_type(kind, before, after, 4) is result


@pytest.mark.parametrize(
    ("before", "after", "kind", "cause"),
    [
        ((2, 5, 32), (2, 5, 4, 8), sharded(2), UnevenDim(2, 4, ranks=8)),
        ((3, 8), (2, 12), sharded(1), MergedInnerDim(1, outer=0)),
        ((2, 24), (2, 3, 8), packed_shard(1, (8, 16)), UnevenParts(1, 3, (8, 16), ranks=8)),
        ((108,), (3, 36), packed_shard(0, (36, 24, 48)), UnevenParts(0, 3, (36, 24, 48), ranks=4)),
    ],
)
def test_refused_views(before, after, kind, cause):
    with pytest.raises(RuleViolation) as refused:
        views.reshaped_type(kind, before, after, 4 if before == (108,) else 8)
    assert (refused.value.law, refused.value.cause) == ("cut-dim", cause)


def heads(*sizes, kind: SpmdType | None = None):
    """Hidden states of 8 heads of 4, split into 4."""
    x = make_operand((2, 5, 32), kind or sharded(2))
    return infer_result_types("view", x, *sizes, results=((2, 5, 8, 4),), ranks=4)


def test_requested_sizes():
    own = RankDependent(8, 2)
    for sizes in ((2, 5, -1, 4), ((2, 5, -1, 4),), (2, -1, own, 4), ((2, 5, own, -1),)):
        assert heads(*sizes) is sharded(2)
    assert infer_result_types(
        "view", make_operand((2, 5, 32), sharded(2)), size=(2, 5, -1, 4), results=((2, 5, 8, 4),), ranks=4
    ) is sharded(2)
    for law, sizes in {
        "size-written": (2, 5, 8, -1),
        "size-read": (2, RankDependent(5, 3), -1, 4),
    }.items():
        with pytest.raises(RuleViolation) as refused:
            heads(*sizes)
        assert refused.value.law == law
    with pytest.raises(RuleViolation) as refused:
        heads(2, 5, own, 4, kind=REPLICATED)
    assert refused.value.law == "size-read"
    with pytest.raises(Unsupported):
        heads(2, 5, RankDependent(8.0, 2.0), 4)
    with pytest.raises(Unsupported):
        heads(torch.float16)


def test_the_simulation_finds_a_merged_inner_dim():
    def merged(operation):
        return sharded(0)

    with pytest.raises(NumericMismatch):
        sweep(Case("view", T(2, 2, 3, types=(sharded(1),)), (-1, 3)), 2, infer=merged)
