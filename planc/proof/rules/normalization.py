"""Norms and softmax: every entry depends on all entries along some dims."""

from __future__ import annotations

from typing import Any

from planc.ir.graph import Op
from planc.proof.rules.arguments import bind_ignoring, normalize_dim
from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.inplace import written_type
from planc.proof.rules.operation import Operand, Operation, RankDependent, RuleViolation
from planc.proof.rules.reductions import reduction_dims
from planc.proof.rules.registry import always, op_rule
from planc.proof.rules.saved_tensors import SavedTensor, made, saved_sources, saves
from planc.proof.types import SpmdType, sharded
from planc.proof.violations import UnevenGroups


def layer_norm_saves(operation: Operation) -> tuple[SavedTensor, ...]:
    """The operands, and statistics of each row: mean and reciprocal standard deviation; RMS norm has the latter alone.

    Source: `native_layer_norm` and `_fused_rms_norm` in torch's `derivatives.yaml`. The statistics have the
    dtype of the input; on GPUs they are float32 for half precision.
    """
    shape = operation.arguments[1] if len(operation.arguments) > 1 else operation.keywords["normalized_shape"]
    x = operation.operands()[0]
    rows = x.shape[: x.ndim - (len(shape) if isinstance(shape, tuple) else 1)]
    statistics = 2 if operation.name == "layer_norm" else 1
    return (*saved_sources(operation, range(len(operation.operands()))), *[made(rows, x.dtype)] * statistics)


def batch_norm_saves(operation: Operation) -> tuple[SavedTensor, ...]:
    """All operands but the bias, and in training mean and reciprocal standard deviation of each channel.

    Source: `native_batch_norm` in torch's `derivatives.yaml`.
    """
    x, *_ = operation.operands()
    channels = x.shape[1:2]
    bias = operation.arguments[4] if len(operation.arguments) > 4 else operation.keywords.get("bias")
    saved = [n for n, operand in enumerate(operation.operands()) if operand is not bias]
    training = operation.arguments[5] if len(operation.arguments) > 5 else operation.keywords.get("training")
    return (*saved_sources(operation, saved), *[made(channels, x.dtype)] * (2 if training else 0))


@op_rule("layer_norm", "rms_norm", saves=layer_norm_saves, may_alias=False)
def layer_norm_rule(operation: Operation) -> SpmdType:
    """x (..., *normalized), weight (*normalized), bias (*normalized) -> as x"""
    names = {"bias": None} if operation.name == "layer_norm" else {}
    x, shape, *parameters, _ = operation.bind_arguments(
        "input", "normalized_shape", weight=None, **names, eps=None
    )
    dims = tuple(range(x.ndim))
    normalized = dims[x.ndim - (len(shape) if isinstance(shape, tuple) else 1) :]
    operands: list[LabeledOperand] = [
        (x, dims),
        *((p, normalized) for p in parameters if isinstance(p, Operand)),
    ]
    return einsum_rule(operands, dims, need_replication=normalized, use="normalization")


@op_rule("group_norm", accepts_rank_dependent=True, may_alias=False)
def group_norm_rule(operation: Operation) -> SpmdType:
    """x (b, c, ...), weight (c), bias (c) -> as x

    The ranks may share the groups if the number of groups is each rank's own.
    """
    x, groups, *parameters, _ = operation.bind_arguments(
        "input", "num_groups", weight=None, bias=None, eps=1e-5
    )
    dims = tuple(range(x.ndim))
    operands: list[LabeledOperand] = [(x, dims), *((p, (1,)) for p in parameters if isinstance(p, Operand))]
    if not isinstance(groups, RankDependent):
        return einsum_rule(operands, dims, need_replication=dims[1:], use="normalization")
    divides = groups.local_value is not None and groups.global_value == groups.local_value * operation.ranks
    if not divides or x.type is not sharded(1):
        raise RuleViolation(UnevenGroups("norm", groups.global_value, groups.local_value))
    return einsum_rule(operands, dims, need_replication=dims[2:], use="normalization")


def running_statistics(step: Op) -> tuple[Any, ...]:
    """The running mean and variance that a norm moves towards those of the batch, unless it uses them."""
    arguments, keywords = step.arguments, step.keywords
    given = arguments[5] if len(arguments) > 5 else step.name == "instance_norm"
    if keywords.get("training", keywords.get("use_input_stats", given)) is False:
        return ()
    # torch.batch_norm takes them after weight and bias, and a ninth argument that the functional one has not.
    is_native = len(arguments) > 8 or "cudnn_enabled" in keywords
    positions = arguments[3:5] if is_native else arguments[1:3]
    return (*positions, *(keywords[name] for name in ("running_mean", "running_var") if name in keywords))


@op_rule("instance_norm", may_alias=False, updates=running_statistics, returns_view=always)
def instance_norm_rule(operation: Operation) -> SpmdType:
    """x (b, c, *spatial), running_mean (c), running_var (c), weight (c), bias (c) -> as x

    The statistics are those of each sample and channel; running ones move towards their mean over the batch.
    """
    x, *vectors, from_input, _, _ = operation.bind_arguments(
        "input", running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1,
        eps=1e-5,
    )  # fmt: skip
    dims = tuple(range(x.ndim))
    operands: list[LabeledOperand] = [(x, dims), *((v, (1,)) for v in vectors if isinstance(v, Operand))]
    mixed = dims[2:] if from_input else ()
    if from_input and isinstance(vectors[0], Operand):
        return einsum_rule(operands, dims, need_replication=(0, *mixed), use="batch statistics")
    return einsum_rule(operands, dims, need_replication=mixed, use="normalization")


@op_rule("batch_norm", saves=batch_norm_saves, may_alias=False, updates=running_statistics)
def batch_norm_rule(operation: Operation) -> SpmdType:
    """x (b, c, ...), running_mean (c), running_var (c), weight (c), bias (c) -> as x"""
    x, *vectors, training, _, _ = operation.bind_arguments(
        "input", "running_mean", "running_var", weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
    )
    dims = tuple(range(x.ndim))
    operands: list[LabeledOperand] = [(x, dims), *((v, (1,)) for v in vectors if isinstance(v, Operand))]
    mixed = () if training is False else (0, *dims[2:])
    return einsum_rule(operands, dims, need_replication=mixed, use="batch statistics")


@op_rule("softmax", "log_softmax", "softmin", saves=saves("result"), may_alias=False)
def softmax_rule(operation: Operation) -> SpmdType:
    """x (..., dim, ...) -> as x"""
    x, dim = bind_ignoring(operation, "input", "dim", ignored=("_stacklevel", "dtype"))
    dims = tuple(range(x.ndim))
    return einsum_rule([(x, dims)], dims, need_replication=(normalize_dim(dim, x.ndim),), use="softmax")


@op_rule("normalize", may_alias=False)
def normalize_rule(operation: Operation) -> SpmdType:
    """x (..., dim, ...) -> x / |x| along dim"""
    x, _, dim, _, out = operation.bind_arguments("input", p=2.0, dim=1, eps=1e-12, out=None)
    dims = tuple(range(x.ndim))
    found = einsum_rule([(x, dims)], dims, need_replication=reduction_dims(dim, x.ndim), use="normalization")
    return found if out is None else written_type(operation, out, found)


@op_rule("_weight_norm", may_alias=False)
def weight_norm_rule(operation: Operation) -> SpmdType:
    """direction (..., dim, ...), length (1, dim, 1) or (), dim or -1 for none -> as direction"""
    direction, length, dim = operation.bind_arguments("v", "g", dim=0)
    dims = tuple(range(direction.ndim))
    kept = () if dim == -1 else (normalize_dim(dim, direction.ndim),)
    lengths: DimLabels = tuple(d if d in kept else None for d in range(length.ndim))
    normalized = [d for d in dims if d not in kept]
    return einsum_rule(
        [(direction, dims), (length, lengths)], dims, need_replication=normalized, use="normalization"
    )
