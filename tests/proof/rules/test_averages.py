"""Means over the batch on simulated ranks that have equal parts of it, and whose gradients are averaged."""

from __future__ import annotations

import inspect
from collections import Counter

import pytest
import torch
from torch.nn import functional

from planc.proof.batch_causes import AverageUsed, UnequalCounts
from planc.proof.rules.averages import infer_with_averages
from planc.proof.rules.catalog import OPS
from planc.proof.rules.operation import Operand, RankDependent, RuleViolation
from planc.proof.types import AVERAGE, CONSTANT, PARTIAL, REPLICATED, sharded
from tests.proof.rules.harness import Case, T, sweep
from tests.proof.rules.known_strictness import known_strictness

RANKS = pytest.mark.parametrize("ranks", [2, 3])
TYPES = (CONSTANT, REPLICATED, PARTIAL, AVERAGE, sharded(0))


def infer(operation):
    """What the proof asks: the rule itself, or what it says of averages."""
    operands, rule = operation.operands(), OPS[operation.name].infer
    if any(operand.type is AVERAGE for operand in operands):
        return tuple(infer_with_averages(rule, operation, operands))
    return rule(operation)


def strictness(case, types):
    if PARTIAL in types and AVERAGE in types:
        return "a sum and a mean over the batch: no model combines them"
    if AVERAGE in types and case.name.endswith("_") and types[0] is not AVERAGE:
        return "a tensor that all ranks have stays one, since a view of it may be in use"
    if case.name in ("kl_div", "nll_loss") or (
        case.name == "binary_cross_entropy_with_logits" and types[0] is not AVERAGE
    ):
        return "linear in an operand that is never a mean"
    as_partial = tuple(PARTIAL if spmd_type is AVERAGE else spmd_type for spmd_type in types)
    return known_strictness(case, as_partial)


def on_batch(ranks, *cases):
    """Compare the cases with simulated ranks. Returns how often each of them gave or took a mean, by rule."""
    means = Counter()

    def counted(operation):
        types = infer(operation)
        every = types if isinstance(types, tuple) else (types,)
        if AVERAGE in every or any(operand.type is AVERAGE for operand in operation.operands()):
            means[operation.name] += 1
        return types

    for case in cases:
        for tensor in case.tensors():
            tensor.types = tensor.types or TYPES
        for seed in range(3):
            sweep(case, ranks, seed=1000 * seed, accepted=30, refused=20, infer=inspect.unwrap(counted),
                  known_strict=strictness, averages=True)  # fmt: skip
    return means


def classes(*shape, n):
    return T(*shape, kind="int", low=0, high=n, types=(sharded(0), CONSTANT))


@RANKS
def test_means_over_the_batch(ranks):
    n = ranks
    means = on_batch(
        ranks,
        Case("mean", T(2 * n, 3)),
        Case("mean", T(2 * n, 3), 0),
        Case("mean", T(2 * n, 3), (0, 1), True),
        Case("mean", T(2 * n, n), dim=1),
        Case("cross_entropy", T(2 * n, 4), classes(2 * n, n=4)),
        Case("cross_entropy", T(2 * n, 4, 3), classes(2 * n, 3, n=4), label_smoothing=0.1),
        Case("nll_loss", T(2 * n, 4), classes(2 * n, n=4)),
        Case("mse_loss", T(2 * n, 3), T(2 * n, 3)),
        Case("kl_div", T(2 * n, 3), T(2 * n, 3, low=0.1), reduction="batchmean"),
        Case("binary_cross_entropy_with_logits", T(2 * n, 3), T(2 * n, 3, low=0.0, high=1.0)),
    )
    assert set(means) == {
        "mean", "cross_entropy", "nll_loss", "mse_loss", "kl_div", "binary_cross_entropy_with_logits"}  # fmt: skip


@RANKS
def test_what_keeps_a_mean(ranks):
    n = ranks
    means = on_batch(
        ranks,
        Case("add", T(3), T(3), alpha=0.5),
        Case("sub", T(), T()),
        Case("__rsub__", T(3), 1.0, call=torch.Tensor.__rsub__),
        Case("add", T(3), 2.0),
        Case("mul", T(3), T(3)),
        Case("mul", T(), -0.3),
        Case("div", T(3), T(3, low=0.5)),
        Case("neg", T(3)),
        Case("detach", T(3)),
        Case("stack", (T(3), T(3)), call=torch.stack),
        Case("cat", (T(n), T(n)), call=torch.cat),
        Case("sum", T(n, 3), 0),
        Case("view", T(2 * n), 2, n),
        Case("linear", T(2, 3), T(2, 3), T(2)),
        Case("where", T(3, kind="bool"), T(3), T(3), call=torch.where),
        Case("masked_fill", T(3), T(3, kind="bool"), 2.0),
        Case("pad", T(3), (1, 1), "constant", 2.0),
        Case("float", T(3)),
    )
    assert set(means) == {
        "add", "sub", "__rsub__", "mul", "div", "neg", "detach", "stack", "cat", "sum", "view", "linear", "where",
        "masked_fill", "pad", "float"}  # fmt: skip


@RANKS
def test_what_a_mean_may_not_enter(ranks):
    on_batch(
        ranks,
        Case("exp", T(3)),
        Case("pow", T(3), 2),
        Case("maximum", T(3), T(3)),
        Case("addcmul", T(3), T(3), T(3)),
        Case("softmax", T(3), 0),
        Case("log_softmax", T(3), -1),
        Case("mse_loss", T(3), T(3)),
        Case("add_", T(3), T(3)),
        Case("mul_", T(3), T(3)),
        Case("round", T(3)),
        Case("long", T(3)),
        Case("max", T(3)),
        Case("var", T(3), 0),
        Case("matmul", T(2, 3), T(3, 2)),
        Case("layer_norm", T(2, 3), (3,)),
    )


def cause_of_refusal(name, *arguments, shape=(), **keywords):
    """The cause for which an operation with these arguments is refused."""
    from planc.ir.graph import TensorInfo
    from planc.proof.rules.operation import Operation

    operation = Operation(
        name, arguments, keywords, (TensorInfo(shape, "float32", True),), 2, splits_batch=True
    )
    with pytest.raises(RuleViolation) as caught:
        infer(operation)
    return caught.value.cause


def test_a_refusal_says_what_differs():
    mean, sample = Operand(AVERAGE, ()), Operand(sharded(0), (4, 3))
    assert cause_of_refusal("mul", mean, mean) == AverageUsed("product")
    assert cause_of_refusal("exp", mean) == AverageUsed("nonlinear operation")
    assert cause_of_refusal("sub", sample, mean, shape=(4, 3)) == AverageUsed("samples")
    assert cause_of_refusal("mul", sample, mean, shape=(4, 3)) == AverageUsed("samples")
    assert cause_of_refusal("add", mean, Operand(PARTIAL, ())) == AverageUsed("sum")
    assert cause_of_refusal("add_", Operand(CONSTANT, (), grad=False), mean) == AverageUsed("written")
    assert cause_of_refusal("dropout", mean, 0.1) == AverageUsed("nonlinear operation")
    total = Operand(PARTIAL, ())
    assert cause_of_refusal("div", total, total) == UnequalCounts("sum")
    targets, weights = Operand(sharded(0), (4,), False, "int64"), Operand(CONSTANT, (3,), False)
    assert cause_of_refusal("cross_entropy", sample, targets, weights) == UnequalCounts("weights")


def test_a_sum_over_the_size_of_a_rank_s_part_is_a_mean():
    from planc.ir.graph import TensorInfo
    from planc.proof.rules.operation import Operation

    total, size = Operand(PARTIAL, (3,)), RankDependent(8, 4, None, -1)
    x = torch.randn(8, 3)
    parts = [part.sum(0) / 4 for part in x.chunk(2)]
    assert torch.allclose(sum(parts) / 2, x.mean(0))

    def given(name, *arguments, **keywords):
        info = (TensorInfo((3,), "float32", True),)
        return infer(Operation(name, arguments, keywords, info, 2, splits_batch=True))

    assert given("div", total, size) is AVERAGE
    assert given("mul", total, RankDependent(0.125, 0.25, None, 1)) is AVERAGE
    for call in (
        lambda: given("mul", total, size),
        lambda: given("__rtruediv__", total, size),
        lambda: given("div", total, RankDependent(8, 4, None, None)),
        lambda: given("div", Operand(AVERAGE, (3,)), size),
        lambda: given("div", Operand(REPLICATED, (3,)), size),
        lambda: given("div", total, size, rounding_mode="floor"),
        lambda: given("mul", total, 2.0, out=size),
    ):
        with pytest.raises(RuleViolation):
            call()


def test_the_mean_of_the_ranks_losses_is_the_loss_only_without_targets_that_are_left_out():
    logits, targets = torch.randn(8, 5), torch.arange(8) % 5
    for left_out in (0, 3):
        targets[:left_out] = -100
        parts = [
            functional.cross_entropy(*each) for each in zip(logits.chunk(2), targets.chunk(2), strict=True)
        ]
        assert torch.allclose(sum(parts) / 2, functional.cross_entropy(logits, targets)) is (left_out == 0)
