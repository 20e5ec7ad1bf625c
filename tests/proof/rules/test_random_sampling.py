"""Rules of random draws. With fixed numbers for what is drawn, ranks must get slices of the global result."""

from __future__ import annotations

import pytest
import torch

from planc.ir.graph import TensorInfo
from planc.proof.rules.operation import Operation, RankDependent, RuleViolation, Unsupported
from planc.proof.rules.registry import OPS
from planc.proof.types import CONSTANT, INVARIANT, PARTIAL, SpmdType, packed_shard, sharded
from planc.torch.verify.no_dropout import NoDropout
from tests.proof.rules.case_tables import compare_cases, make_operand
from tests.proof.rules.cases import torch_function
from tests.proof.rules.harness import Case, NumericMismatch, T, infer_result_types, sweep

RANKS = pytest.mark.parametrize("ranks", [2, 3])


def fixed(name):
    """The torch function of that name, with fixed numbers for what it draws."""
    function = torch_function(name)

    def call(*args, **kwargs):
        with NoDropout():
            return function(*args, **kwargs)

    return call


def probabilities(shape, generator):
    return torch.rand(shape, generator=generator, dtype=torch.float64)


def case(name, *arguments, **keywords):
    return Case(name, *arguments, call=fixed(name), **keywords)


@RANKS
def test_draws_are_slices(ranks):
    n = ranks
    own = RankDependent(2 * n, 2)
    data = T(2 * n, n, kind="int")
    cases = [
        case("rand", own, 1, 3),
        case("rand", (own, 1), dtype=torch.float64),
        case("randn", size=(3, own)),
        case("rand", 4, 2),
        case("rand_like", data, dtype=torch.float64),
        case("randn_like", data, dtype=torch.float64),
        case("bernoulli", T(2, 2 * n, like=probabilities)),
        case("bernoulli_", data, 0.3),
        case("bernoulli_", T(2, 2 * n), T(2 * n, like=probabilities)),
        case("normal_", T(2, 2 * n), mean=1),
        case("uniform_", T(2, 2 * n), 0, 4),
        case("exponential_", T(n, n, like=probabilities), lambd=0.5),
    ]
    compare_cases(cases, ranks, min_accepted=40, known_strict=lambda case, types: (
        "a draw of unknown layout" if PARTIAL in types or case.name.endswith("_") else None))  # fmt: skip


def infer(name, *arguments, shape, splits_batch=False, **keywords) -> SpmdType:
    info = (TensorInfo(shape, "float32", False),)
    return OPS[name].infer(Operation(name, arguments, keywords, info, 2, False, splits_batch))


def test_a_draw_follows_the_batch():
    own = RankDependent(8, 4)
    for splits_batch in (False, True):
        assert infer("rand", own, 1, shape=(8, 1), splits_batch=splits_batch) is sharded(0)
        assert infer("randint", 0, 5, (own, 3), shape=(8, 3), splits_batch=splits_batch) is sharded(0)
        assert infer("randint", 5, (own, 3), shape=(8, 3), splits_batch=splits_batch) is sharded(0)
        x = make_operand((8, 4), packed_shard(0, (4, 4)))
        assert infer("randn_like", x, shape=(8, 4), splits_batch=splits_batch) is x.type
    assert infer("rand", 8, 1, shape=(8, 1)) is CONSTANT
    assert infer("bernoulli_", make_operand((8, 4), CONSTANT), 0.9, shape=(8, 4)) is CONSTANT
    assert infer("rand_like", make_operand((8, 4), PARTIAL), shape=(8, 4)) is CONSTANT


def test_draws_that_ranks_do_not_share():
    constant = make_operand((8, 4), CONSTANT)
    for name, arguments in (
        ("rand", (8, 1)),
        ("randn_like", (constant,)),
        ("bernoulli_", (constant, 0.9)),
        ("multinomial", (constant, 2)),
        ("gumbel_softmax", (constant,)),
    ):
        with pytest.raises(Unsupported, match="not those of a sample"):
            infer(name, *arguments, shape=(8, 4), splits_batch=True)
    with pytest.raises(Unsupported, match="generator"):
        infer("rand", RankDependent(8, 4), shape=(8,), generator="torch.Generator")
    with pytest.raises(Unsupported, match="partial"):
        infer("normal_", make_operand((8, 4), PARTIAL), shape=(8, 4))
    with pytest.raises(RuleViolation):
        infer("bernoulli", make_operand((8, 4), PARTIAL), shape=(8, 4))
    for name in ("multinomial", "gumbel_softmax"):
        with pytest.raises(RuleViolation):
            infer(
                name, make_operand((8, 4), sharded(1)), *([2] if name == "multinomial" else []), shape=(8, 4)
            )
    with pytest.raises(RuleViolation):
        infer("rand", RankDependent(8, 5), shape=(8,))
    with pytest.raises(Unsupported):
        infer_result_types("rand", 4, 8, results=((4, 8),), requires_grad=True)


def test_the_simulation_finds_a_shard_typed_as_replicated():
    with pytest.raises(NumericMismatch):
        sweep(case("rand", RankDependent(4, 2)), 2, infer=lambda _: INVARIANT)
