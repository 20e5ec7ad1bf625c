"""Rules of tensors that are made of plain numbers, against numbers."""

from __future__ import annotations

import pytest
import torch

from planc.ir.graph import TensorInfo, TorchConstant
from planc.proof.rules.operation import RankDependent, RuleViolation, Unsupported
from planc.proof.types import CONSTANT, INVARIANT, PARTIAL, LocalIndex, sharded
from tests.proof.rules.case_tables import compare_cases, make_operand
from tests.proof.rules.harness import OPS, Case, NumericMismatch, T, infer_result_types, sweep


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_creation_against_torch(ranks):
    n = ranks
    x, share = T(n, 3, 2 * n), RankDependent(2 * n, 2)
    cases = [
        Case("zeros", 2, 3),
        Case("zeros", (2, share)),
        Case("ones", share, 3, dtype=TorchConstant("torch.float32")),
        Case("ones", size=(3, share), requires_grad=False),
        Case("zeros", share),
        Case("full", (share, 2), 1.5),
        Case("full", size=(2, 3), fill_value=0),
        Case("full", (2,), True, dtype=TorchConstant("torch.bool")),
        Case("new_zeros", x, (2, share)),
        Case("new_ones", x, 2, 3),
        Case("new_zeros", x, size=(share,)),
        Case("new_full", x, (share, 3), 2.0),
        Case("new_full", x, (1,), fill_value=3),
        Case("zeros_like", x),
        Case("ones_like", x, dtype=TorchConstant("torch.int64")),
        Case(
            "zeros_like",
            T(n, 2, kind="int"),
            device=TorchConstant("cpu"),
            call=lambda x, **_: torch.zeros_like(x),
        ),
        Case("full_like", x, 2.0),
        Case("full_like", x, fill_value=-1),
        Case("tensor", 2.0),
        Case("tensor", (1, 2, 3)),
        Case("scalar_tensor", 3),
        Case("arange", 5),
        Case("arange", 1, 7, 2, device=TorchConstant("cpu"), call=lambda *a, **_: torch.arange(*a)),
        Case("arange", start=0, end=4),
        Case("linspace", 0, 1, 5),
        Case("eye", 3),
        Case("new_tensor", x, (1.0, 2.0)),
        Case("histc", T(8, low=0, high=4), 4, 0, 4, call=lambda x, *a: torch.histc(x.detach(), *a)),
        Case("bincount", T(9, kind="int", low=0, high=4), minlength=5),
    ]
    compare_cases(cases, ranks, min_accepted=110, known_strict=known)


def known(case, types):
    if case.name in ("histc", "bincount"):
        return "counts of shares would add up: no model needs it"
    return None


def made(name, *arguments, shape=(4, 8), **keywords):
    return infer_result_types(name, *arguments, results=(TensorInfo(shape, "float32"),), **keywords)


def test_sizes_that_differ_between_ranks():
    share = RankDependent(8, 4)
    assert made("zeros", (2, share), shape=(2, 8)) is sharded(1)
    for name, arguments in (
        ("zeros", (share, share)),
        ("zeros", (2, RankDependent(8, 5))),
        ("full", ((2,), share)),
    ):
        with pytest.raises(RuleViolation) as refused:
            made(name, *arguments, shape=(8,) * 2 if name == "zeros" else (2,))
        assert refused.value.law == "size-read"
    assert isinstance(made("arange", share, shape=(8,)), LocalIndex)
    for arguments in ((0, share), (RankDependent(8, 5),)):
        with pytest.raises(RuleViolation) as refused:
            made("arange", *arguments, shape=(8,))
        assert refused.value.law == "size-read"
    assert not OPS["tensor"].accepts_rank_dependent


def test_unsupported_creation():
    x = make_operand((4, 8), INVARIANT)
    for name, arguments, keywords in (
        ("zeros", (4, 8), {"requires_grad": True}),
        ("zeros", (4, 8), {"out": x}),
        ("full", ((4, 8), x), {}),
        ("full", ((4, 8), 1, 2), {}),
        ("tensor", (x,), {}),
        ("zeros", (4,), {}),
        ("histc", (make_operand((8,), sharded(0)),), {}),
        ("arange", (4,), {"tensor": x}),
    ):
        with pytest.raises(Unsupported):
            made(name, *arguments, **keywords)
    with pytest.raises(RuleViolation):
        infer_result_types("bincount", make_operand((8,), PARTIAL, "int64"), results=((4,),))


def test_the_simulation_finds_a_shard_typed_as_constant():
    with pytest.raises(NumericMismatch):
        sweep(Case("zeros", RankDependent(8, 4)), 2, infer=lambda _: CONSTANT)
