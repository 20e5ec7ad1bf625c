"""Rules of operations on batches of matrices, against numbers."""

from __future__ import annotations

import pytest
import torch

from planc.proof.rules.batched import batched_rule
from planc.proof.rules.operation import Operation, RuleViolation, Unsupported
from planc.proof.types import CONSTANT, PARTIAL, REPLICATED, sharded
from tests.proof.rules.case_tables import compare_cases, make_operand
from tests.proof.rules.harness import Case, NumericMismatch, T, infer_result_types, sweep


def regular(shape, generator):
    """Symmetric matrices with positive, distinct eigenvalues."""
    x = torch.rand(shape, generator=generator, dtype=torch.float64)
    return x @ x.mT + torch.diag_embed(torch.arange(1.0, shape[-1] + 1, dtype=torch.float64))


def lower(shape, generator):
    return regular(shape, generator).tril()


def linalg(name):
    return getattr(torch.linalg, name.removeprefix("linalg_"))


def triangular(a, b, **keywords):
    # Of two lower halves: ranks may hold a sum of them.
    return torch.linalg.solve_triangular(a.tril(), b, **keywords)


@pytest.mark.parametrize("ranks", [2, 3])
def test_batches_of_matrices(ranks):
    n = ranks
    square, wide = T(2 * n, 2, 2, like=regular), T(n, 3, 2)
    names = (
        "linalg_inv",
        "linalg_cholesky",
        "linalg_matrix_exp",
        "linalg_det",
        "linalg_eigvalsh",
        "linalg_eigh",
    )
    cases = [
        *(Case(name, square, call=linalg(name)) for name in names),
        Case("logdet", square),
        Case("linalg_slogdet", square, call=lambda x: tuple(torch.linalg.slogdet(x))),
        Case("linalg_qr", wide, call=lambda x: tuple(torch.linalg.qr(x))),
        Case("linalg_svdvals", wide, call=torch.linalg.svdvals),
        Case("linalg_solve_triangular", T(2, n, n, like=lower), T(2, n, 2 * n), upper=False, call=triangular),
        Case("linalg_solve_triangular", T(n, n, like=lower), T(n, n, 2), upper=False, call=triangular),
        Case("cholesky_solve", T(n, 2), T(n, n, like=lower), call=torch.cholesky_solve),
        Case("cdist", T(2, 2 * n, 3), T(2, n, 3), call=torch.cdist),
        Case("cdist", T(n, n, 3), T(1, 2, 3), call=torch.cdist),
    ]
    strict = "sums of matrices: no model has them"
    compare_cases(cases, ranks, min_accepted=100, accepted=12, refused=5,
                  known_strict=lambda _case, types: strict if PARTIAL in types else None)  # fmt: skip


def test_a_signature_is_read():
    rule = batched_rule("(N,N),(N,k)->(N,k)", linear_in=(1,))

    def infer(first, second, **keywords):
        operands = make_operand((4, 2, 2), first), make_operand((4, 2, 6), second)
        results = (torch.empty(4, 2, 6),)
        return rule(Operation("f", operands, keywords, results, 2))

    assert infer(sharded(0), sharded(0)) == (sharded(0),)
    assert infer(REPLICATED, sharded(2)) == (sharded(2),)
    assert infer(CONSTANT, PARTIAL) == (PARTIAL,)
    for left, right in (
        (sharded(1), CONSTANT),
        (CONSTANT, sharded(1)),
        (sharded(0), CONSTANT),
        (PARTIAL, CONSTANT),
    ):
        with pytest.raises(RuleViolation):
            infer(left, right)
    for keywords in ({"left": False}, {"out": "tensor"}):
        with pytest.raises(Unsupported):
            infer(CONSTANT, CONSTANT, **keywords)
    with pytest.raises(Unsupported):
        infer_result_types("linalg_qr", make_operand((4, 3, 2), CONSTANT), results=((0,), (4, 2, 2)))


def test_the_simulation_finds_a_matrix_that_is_sharded():
    case = Case("linalg_inv", T(2, 2, 2, like=regular, types=(sharded(1),)), call=torch.linalg.inv)
    with pytest.raises(NumericMismatch):
        sweep(case, 2, infer=lambda _: (sharded(1),))
