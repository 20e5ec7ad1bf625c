"""Rules of products of matrices."""

from __future__ import annotations

import pytest

from tests.rules.harness import Case, T, sweep


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_linear(ranks):
    c = Case("linear", T(2, ranks, 2 * ranks), T(ranks, 2 * ranks))
    print(sweep(c, ranks, accepted=50, refused=100))
    c = Case("linear", T(2, ranks, 2 * ranks), T(ranks, 2 * ranks), T(ranks))
    print(sweep(c, ranks, accepted=50, refused=100))
