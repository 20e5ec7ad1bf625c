"""Rules of other orders of dims, against numbers."""

from __future__ import annotations

import pytest

from planc.proof.rules.operation import RuleViolation, Unsupported
from planc.proof.types import packed_shard, sharded
from planc.proof.violations import SqueezedShard
from tests.proof.rules.case_tables import compare_cases, make_operand
from tests.proof.rules.harness import Case, NumericMismatch, T, infer_result_types, sweep


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_permutations_against_torch(ranks):
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
        Case("H", T(n, 2 * n), call=lambda x: x.H),
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
    compare_cases(cases, ranks, min_accepted=250)


def test_unsupported_arguments():
    x = make_operand((4, 8), sharded(1))
    assert infer_result_types("permute", x, 1, 0, results=((8, 4),)) is sharded(0)
    assert infer_result_types(
        "permute", make_operand((4, 8), packed_shard(1, (4, 4))), (1, 0), results=((8, 4),)
    ) is packed_shard(0, (4, 4))
    for name, arguments in (
        ("permute", (x, 0, 0)),
        ("permute", (x, 0)),
        ("transpose", (x, 0, 5)),
        ("T", (x, 1)),
    ):
        with pytest.raises(Unsupported):
            infer_result_types(name, *arguments, results=((8, 4),))


def test_a_sharded_dim_that_is_squeezed_on_a_rank():
    for arguments in ((), (1,)):
        with pytest.raises(RuleViolation) as refused:
            infer_result_types("squeeze", make_operand((4, 2), sharded(1)), *arguments, results=((4, 2),))
        assert (refused.value.law, refused.value.cause) == ("cut-dim", SqueezedShard(1, size=2))


def test_the_simulation_finds_a_wrong_order():
    with pytest.raises(NumericMismatch):
        sweep(Case("transpose", T(2, 4), 0, 1), 2, infer=lambda operation: operation.operands()[0].type)
