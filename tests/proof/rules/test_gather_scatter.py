"""Rules of operations that read or write at places which a tensor says."""

from __future__ import annotations

import pytest
import torch

from tests.proof.rules.harness import Case, T, cover, sweep
from tests.proof.rules.known_strictness import known_strictness

RANKS = pytest.mark.parametrize("ranks", [2, 3, 4])


def places(*shape, high):
    return T(*shape, kind="int", low=0, high=high)


def apart(shape, generator):
    """Places that are not the same twice."""
    return torch.randperm(shape[0], generator=generator)


def columns(shape, generator):
    return torch.stack([torch.randperm(shape[1], generator=generator) for _ in range(shape[0])])


@RANKS
def test_gather(ranks):
    n = ranks
    cover([
        Case("gather", T(2, 2 * n), 1, places(2, n, high=2 * n)),
        Case("gather", T(n, n), dim=-1, index=places(n, n, high=n)),
        Case("gather", T(2 * n, n), -1, places(n, n, high=n)),
        Case("gather", T(n, n, n), 1, places(n, 2, n, high=n), call=torch.gather),
        Case("take_along_dim", T(n, 2 * n), places(n, n, high=2 * n), 1),
        Case("take_along_dim", T(n, n), places(1, n, high=n), dim=-1),
        Case("take_along_dim", T(1, n, 2), places(n, n, 2, high=n), dim=1, call=torch.take_along_dim),
    ], ranks, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_scatter(ranks):
    n = ranks
    once = T(n, n, kind="int", like=columns)
    cover([
        Case("scatter", T(n, 2 * n), 1, once, T(n, n)),
        Case("scatter", T(n, 2 * n), -1, once, 1.0),
        Case("scatter", T(n, 2 * n), dim=1, index=once, value=0),
        Case("scatter", T(n, 2 * n), dim=1, index=once, src=T(n, n)),
        Case("scatter", T(2 * n, n), 1, once, T(n, n)),
        Case("scatter_", T(n, 2 * n), 1, once, 0.0),
        Case("scatter_", T(n, 2 * n), 1, once, T(n, n)),
        Case("scatter_add", T(n, n), 0, places(2, n, high=n), T(2, n)),
        Case("scatter_add_", T(n, n), 1, places(n, n, high=n), T(n, n)),
        Case("scatter_reduce", T(n, n), 1, places(n, n, high=n), T(n, n), reduce="amax"),
        Case("scatter_reduce", T(n, n), 1, places(n, n, high=n), T(n, n), "sum", include_self=False),
    ], ranks, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_index_add(ranks):
    n = ranks
    once = T(n, kind="int", like=apart)
    cover([
        Case("index_add", T(n, n), 0, places(2 * n, high=n), T(2 * n, n)),
        Case("index_add", T(n, n, n), dim=-1, index=places(n, high=n), source=T(n, n, n), alpha=0.5),
        Case("index_add_", T(n, 2 * n), 1, places(n, high=n), T(n, n)),
        Case("index_copy", T(2 * n, n), 0, once, T(n, n)),
        Case("index_copy_", T(n, 2 * n), 1, once, T(n, n)),
        Case("index_fill", T(2 * n, n), 0, once, 0.0),
        Case("index_fill_", T(n, 2 * n), 1, once, 3.0),
        Case("index_fill", T(n, 2 * n), 1, once, T()),
    ], ranks, known_strict=known_strictness)  # fmt: skip


def test_the_simulation_finds_positions_of_another_rank():
    """The harness is not blind: places that count in the whole, on the rank's slice."""
    with pytest.raises(AssertionError, match=r"other numbers|fails"):
        sweep(
            Case("gather", T(4, 4), 0, places(4, 4, high=2)),
            2,
            infer=lambda o: o.operands()[0].type,
            refused=0,
        )
