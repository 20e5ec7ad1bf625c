"""Rules of other orders of dims, against numbers."""

from __future__ import annotations

import pytest

from planc.layouts.operation import NotKnown, Refused
from planc.layouts.types import packed, split
from tests.rules.harness import Case, T, Wrong, sweep, types_of
from tests.rules.tables import compare, operand


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_orders_against_numbers(ranks):
    n = ranks
    x = T(n, 3, 2 * n)
    cases = [
        Case("transpose", x, 1, 2),
        Case("transpose", x, -1, 0),
        Case("transpose_", x, 0, 2, call=lambda x, a, b: x.transpose(a, b)),
        Case("transpose", x, dim0=0, dim1=-2),
        Case("swapdims", x, 0, 1),
        Case("swapaxes", x, 0, -1),
        Case("swapaxes", x, axis0=1, axis1=0),
        Case("t", T(n, 2 * n)),
        Case("t", T(2 * n)),
        Case("T", T(n, 3), call=lambda x: x.T),
        Case("mT", x, call=lambda x: x.mT),
        Case("permute", x, 2, 0, 1),
        Case("permute", x, (1, -1, 0)),
        Case("permute", x, dims=(0, 2, 1)),
        Case("permute", T(n, 2, n, 1), (0, 2, 3, 1)),
        Case("movedim", x, 0, 2),
        Case("movedim", x, -1, 0),
        Case("movedim", T(n, 2, n, 3), (0, 1), (2, 0)),
        Case("moveaxis", T(n, 2, n, 3), source=(3, 0), destination=(0, -2)),
        Case("unsqueeze", x, 0),
        Case("unsqueeze", x, -1),
        Case("unsqueeze", x, dim=-2),
        Case("unsqueeze_", x, 1, call=lambda x, d: x.unsqueeze(d)),
        Case("squeeze", T(n, 1, 2 * n), 1),
        Case("squeeze", T(n, 1, 2 * n), 0),
        Case("squeeze", T(n, 1, 2 * n, 1)),
        Case("squeeze", T(1, 2 * n, 1, n), (0, -2)),
        Case("squeeze", T(2 * n, 1), dim=-1),
    ]
    compare(cases, ranks, least=250)


def test_forms_that_no_rule_knows():
    x = operand((4, 8), split(1))
    assert types_of("permute", x, 1, 0, results=((8, 4),)) is split(0)
    assert types_of("permute", operand((4, 8), packed(1, (4, 4))), (1, 0), results=((8, 4),)) is packed(
        0, (4, 4)
    )
    for name, arguments in (
        ("permute", (x, 0, 0)),
        ("permute", (x, 0)),
        ("transpose", (x, 0, 5)),
        ("T", (x, 1)),
    ):
        with pytest.raises(NotKnown):
            types_of(name, *arguments, results=((8, 4),))


def test_a_split_dim_that_is_squeezed_away_on_a_rank():
    for arguments in ((), (1,)):
        with pytest.raises(Refused, match="dim 1 has size 1 on a rank") as refused:
            types_of("squeeze", operand((4, 2), split(1)), *arguments, results=((4, 2),))
        assert refused.value.law == "cut-dim"


def test_the_numbers_find_an_order_that_is_not_followed():
    with pytest.raises(Wrong):
        sweep(Case("transpose", T(2, 4), 0, 1), 2, judge=lambda operation: operation.operands()[0].type)
