"""Rules of tensors that are put together, against numbers."""

from __future__ import annotations

import pytest

from planc.proof.rules.operation import RuleViolation, Unsupported
from planc.proof.types import CONSTANT, INVARIANT, PARTIAL, REPLICATED, packed_shard, sharded
from tests.proof.rules.case_tables import compare_cases, make_operand
from tests.proof.rules.harness import Case, NumericMismatch, T, infer_result_types, sweep


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_concatenation_against_torch(ranks):
    n = ranks
    x, y = T(n, 2, 2 * n), T(n, 3, 2 * n)
    row = T(2 * n)
    cases = [
        Case("cat", (x, y), 1),
        Case("cat", (x, x), dim=-1),
        Case("cat", (y, x, y), dim=1),
        Case("cat", tensors=(row, row)),
        Case("cat", (x, T(0, types=(CONSTANT,))), 1),
        Case("concat", (x, y), dim=-2),
        Case("concatenate", (row, row), axis=0),
        Case("stack", (x, x)),
        Case("stack", (x, x), 1),
        Case("stack", (row, row), dim=-1),
        Case("stack", tensors=(row, row, row), dim=0),
        Case("hstack", (row, row)),
        Case("hstack", (x, y)),
        Case("vstack", (row, row)),
        Case("vstack", (x, x)),
        Case("dstack", (x, T(n, 2, n))),
        Case("dstack", (T(2, n), T(2, n))),
        Case("column_stack", (row, row)),
        Case("column_stack", (T(n, 3), T(n, 2))),
        Case("meshgrid", T(3), T(2 * n), indexing="ij"),
    ]
    compare_cases(cases, ranks, min_accepted=250, accepted=20, refused=30, known_strict=known)


def known(case, types):
    return "only whole tensors: positions" if case.name == "meshgrid" else None


def test_incompatible_operands():
    for law, kinds, dim in (
        ("gradient", (INVARIANT, REPLICATED), 0),
        ("meet", (INVARIANT, sharded(1)), 0),
        ("meet", (CONSTANT, sharded(1)), 0),
        ("meet", (sharded(0), sharded(1)), 0),
        ("cut-along", (sharded(0), INVARIANT), 0),
        ("partial", (PARTIAL, CONSTANT), 0),
    ):
        with pytest.raises(RuleViolation) as refused:
            infer_result_types(
                "cat", tuple(make_operand((4, 8), kind) for kind in kinds), dim, results=((8, 8),)
            )
        assert refused.value.law == law
    for given in (make_operand((4, 8), INVARIANT), ()):
        with pytest.raises(Unsupported):
            infer_result_types("cat", given, results=((4, 8),))


def test_concatenated_shards_are_a_packed_shard():
    x, y, both = (
        make_operand((4, 8), sharded(0)),
        make_operand((2, 8), sharded(0)),
        make_operand((6, 8), packed_shard(0, (2, 4))),
    )
    assert infer_result_types("cat", (x, y), results=((6, 8),)) is packed_shard(0, (4, 2))
    assert infer_result_types("cat", (x, both), results=((10, 8),)) is packed_shard(0, (4, 2, 4))


def test_the_simulation_finds_a_concatenation_along_the_sharded_dim():
    s = T(2, 4, types=(sharded(1),))
    with pytest.raises(NumericMismatch):
        sweep(Case("cat", (s, s), 1), 2, infer=lambda _: sharded(1))
