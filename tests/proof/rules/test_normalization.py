"""Rules of norms, softmax, reductions, orders."""

from __future__ import annotations

import pytest
import torch

from planc.ir.graph import TensorInfo, TorchConstant
from planc.proof.rules.operation import RankDependent, Unsupported
from planc.proof.types import CONSTANT, PARTIAL, sharded
from tests.proof.rules.case_tables import make_operand
from tests.proof.rules.harness import Case, T, cover, infer_result_types, sweep
from tests.proof.rules.known_strictness import known_strictness
from tests.proof.rules.test_pointwise import positive

RANKS = pytest.mark.parametrize("ranks", [2, 3, 4])


def weight_norm(direction, length, dim):
    """That of torch, which reads beyond the end of lengths that are too few."""
    if length.numel() != (1 if dim == -1 else direction.shape[dim]):
        raise RuntimeError("sizes that do not match")
    return torch._weight_norm(direction, length, dim)


@RANKS
def test_norms(ranks):
    n = ranks
    cover([
        Case("layer_norm", T(2, n, n), (n,), T(n), T(n), 1e-5),
        Case("layer_norm", T(n, 2, n), (2, n), weight=T(2, n)),
        Case("rms_norm", T(2, n, n), (n,), weight=T(n), eps=1e-6),
        Case("rms_norm", T(2 * n, n), (n,)),
        Case("group_norm", T(n, 2 * n, 2), 2, T(2 * n), T(2 * n)),
        Case("group_norm", T(n, n, 2), num_groups=1),
        Case("group_norm", T(n, 2 * n, 2), RankDependent(n, 1), T(2 * n), T(2 * n)),
        Case("group_norm", T(2, 4 * n), RankDependent(2 * n, 2)),
        Case("normalize", T(n, n), p=2, dim=-1),
        Case("normalize", T(n, n, 3), dim=1),
        Case("_weight_norm", T(2 * n, n), T(2 * n, 1), 0, call=weight_norm),
        Case("_weight_norm", T(n, n, 2), T(1, n, 1), 1, call=weight_norm),
        Case("_weight_norm", T(n, 2), T(), -1, call=weight_norm),
    ], ranks, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_instance_norm(ranks):
    n, call = ranks, torch.nn.functional.instance_norm
    cover([
        Case("instance_norm", T(n, 2 * n, 3), call=call),
        Case("instance_norm", T(n, n, 2, 2), weight=T(n), bias=T(n), call=call),
    ], ranks, known_strict=known_strictness)  # fmt: skip


def test_a_norm_that_writes_to_another_tensor():
    def infer(spmd_type, out):
        x, target = make_operand((4, 2), spmd_type), make_operand((4, 2), out)
        return infer_result_types(
            "normalize", x, dim=1, out=target, results=(TensorInfo((4, 2), "float32", False),)
        )

    assert infer(sharded(0), sharded(0)) is sharded(0)
    assert infer(CONSTANT, CONSTANT) is CONSTANT
    for spmd_type, out in ((sharded(0), CONSTANT), (CONSTANT, sharded(0))):
        with pytest.raises(Unsupported, match="writes a value"):
            infer(spmd_type, out)


@RANKS
def test_batch_norm(ranks):
    n = ranks
    mean, variance = T(n), T(n, like=positive)
    mean.types = variance.types = tuple(k for k, _ in T(n, kind="bool").possible_types(n))
    cover([
        Case("batch_norm", T(2 * n, n, 2), None, None, T(n), T(n), True),
        Case("batch_norm", T(n, n, 4), None, None, training=True),
        Case("batch_norm", T(n, n), T(n, kind="bool", like=_mean), T(n, kind="bool", like=positive), T(n), T(n)),
    ], ranks, known_strict=known_strictness)  # fmt: skip


def _mean(shape, generator):
    return torch.rand(shape, generator=generator, dtype=torch.float64)


@RANKS
def test_softmax(ranks):
    n = ranks
    cover([
        Case("softmax", T(2, n, n), -1),
        Case("softmax", T(n, n), dim=0, dtype=None),
        Case("softmax", T(n, n), dim=-1, _stacklevel=3, dtype=None),
        Case("softmax", T(n, 2, n), 1, call=torch.softmax),
        Case("log_softmax", T(n, n), dim=-1),
        Case("softmin", T(n, n), dim=1),
    ], ranks, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_scans(ranks):
    n = ranks
    cover([
        Case("cumsum", T(n, 2 * n), -1),
        Case("cumsum", T(n, n, kind="int"), dim=0),
        Case("cumsum_", T(n, n), 0),
        Case("cumprod", T(n, n), dim=1),
        Case("logcumsumexp", T(n, n), dim=1),
        Case("diff", T(n, n + 1)),
        Case("diff", T(n + 1, n), 1, 0),
        Case("diff", T(n, n + 1, n), n=1, dim=1, call=torch.diff),
    ], ranks, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_sums(ranks):
    n, x = ranks, T(ranks, 2, ranks)
    cover([
        Case("sum", x), Case("sum", x, -1), Case("sum", x, (0, 2), True), Case("sum", x, dim=1, keepdim=True),
        Case("sum", x, axis=0), Case("sum", T(n, n, kind="int"), 1), Case("sum", T(n, n, kind="bool"), 0),
        Case("sum", T(n, n), 0, dtype=TorchConstant("float32")), Case("sum", T(n, n, kind="int", like=_mean), 0, dtype=TorchConstant("int64")),
        Case("sum", T(n)), Case("nansum", T(n, n), 0), Case("sum", T(n, n), ()),
        Case("mean", x), Case("mean", x, -1, keepdim=True), Case("mean", x, (0, 1)), Case("mean", x, dim=(1,)),
        Case("count_nonzero", T(n, n, kind="int"), 0), Case("count_nonzero", T(n, n, kind="int")),
    ], ranks, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_reductions(ranks):
    n, x = ranks, T(ranks, 2, ranks)
    plain = ("prod", "var", "std", "norm", "argmax", "argmin", "max", "min", "median")
    dims = (
        "amax",
        "amin",
        "logsumexp",
        "argmax",
        "argmin",
        "var",
        "std",
        "max",
        "min",
        "median",
        "prod",
        "mode",
    )
    cover([
        *(Case(name, x, call=getattr(torch.Tensor, name)) for name in plain),
        *(Case(name, x, -1, call=getattr(torch, name)) for name in dims),
        *(Case(name, x, dim=0, keepdim=True, call=getattr(torch.Tensor, name)) for name in dims),
        Case("amax", x, (0, 1)), Case("logsumexp", x, (0, 2), keepdim=True), Case("amin", x, ()),
        Case("all", T(n, n, kind="bool")), Case("any", T(n, n, kind="bool"), -1), Case("all", T(n, n, kind="bool"), dim=0, keepdim=True),
        Case("var", x, False), Case("var", x, -1, unbiased=False, keepdim=True), Case("std", x, dim=1, correction=0),
        Case("var_mean", x, -1, call=torch.var_mean), Case("std_mean", x, 0, call=torch.std_mean),
        Case("nanmean", x, 1), Case("nanmedian", x, -1), Case("kthvalue", x, 1, 0),
        Case("linalg_vector_norm", x, 2, -1, call=torch.linalg.vector_norm),
        Case("linalg_vector_norm", x, dim=(0, 1), call=torch.linalg.vector_norm),
        Case("norm", x, 2, -1, True), Case("norm", x, p=2, dim=(0, 2)),
        Case("max", T(n, n), T(n)), Case("min", T(n, n), T(1, n), call=torch.min),
    ], ranks, refused=3, known_strict=known_strictness)  # fmt: skip


@RANKS
def test_sorting(ranks):
    n = ranks
    cover([
        Case("sort", T(n, 2 * n)), Case("sort", T(n, n), 0, True), Case("sort", T(n, n), dim=-1, descending=True),
        Case("sort", T(n, n), stable=True, dim=0), Case("argsort", T(n, n)), Case("argsort", T(n, n, n), 1),
        Case("topk", T(n, n), 2), Case("topk", T(n, n, n), k=2, dim=1, sorted=False), Case("topk", T(n, n), 1, 0),
        Case("kthvalue", T(n, n), 1), Case("cummax", T(n, n), 0), Case("cummin", T(n, n), dim=-1), Case("msort", T(n, n)),
    ], ranks, known_strict=known_strictness)  # fmt: skip


def test_the_simulation_finds_softmax_along_the_sharded_dim():
    """The harness is not blind: a rule that is wrong fails."""
    with pytest.raises(AssertionError, match="other numbers"):
        sweep(Case("softmax", T(2, 4), -1), 2, infer=lambda o: o.operands()[0].type, refused=0)


def test_the_simulation_finds_a_mean_of_means():
    def careless(operation):
        kind = operation.operands()[0].type
        return PARTIAL if kind is sharded(0) else kind

    with pytest.raises(AssertionError, match="other numbers"):
        sweep(Case("mean", T(4)), 2, infer=careless, refused=0)
