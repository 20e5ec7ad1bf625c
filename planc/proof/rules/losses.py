"""Losses."""

from __future__ import annotations

from typing import Any

from planc.proof.batch_causes import UnequalCounts
from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.operation import IgnoredTargets, Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.pointwise import broadcast_labels
from planc.proof.rules.registry import always, op_rule
from planc.proof.rules.saved_tensors import SavedTensor, made, saved_sources, saves
from planc.proof.types import PackedShard, Sharded, SpmdType


def cross_entropy_saves(operation: Operation) -> tuple[SavedTensor, ...] | None:
    """The log-probabilities, the target and a number, for targets that are classes.

    Source: `_log_softmax` and `nll_loss_forward` in torch's `derivatives.yaml`.
    """
    x, target, weight, *_, smoothing = _classification_arguments(operation)
    if weight is not None or smoothing or target.ndim == x.ndim:
        return None
    return (made(x.shape, x.dtype), *saved_sources(operation, (1,)), made((), x.dtype))


def ignored_targets_of(operation: Operation) -> IgnoredTargets | None:
    """The targets that a mean neither sums nor counts; where they are probabilities there are none."""
    _, target, _, _, ignore_index, *_ = _classification_arguments(operation)
    return None if "float" in target.dtype else IgnoredTargets(target, ignore_index)


@op_rule(
    "cross_entropy", saves=cross_entropy_saves, may_alias=False, returns_view=always, ignored_targets=ignored_targets_of,
)  # fmt: skip
@op_rule("nll_loss", may_alias=False, ignored_targets=ignored_targets_of)
def classification_loss_rule(operation: Operation) -> SpmdType:
    """input (b, classes, ...) or (classes), for nll_loss of log-probabilities; target (b, ...) or as input; weight
    (classes)"""
    x, target, weight, size_average, _, reduce, reduction, *_ = _classification_arguments(operation)
    return _classification_loss(operation, x, target, weight, reduction, size_average, reduce)


def _classification_arguments(operation: Operation) -> list[Any]:
    smoothing = {"label_smoothing": 0.0} if operation.name == "cross_entropy" else {}
    return operation.bind_arguments(
        "input", "target",
        weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", **smoothing,
    )  # fmt: skip


def _classification_loss(
    operation: Operation, x: Operand, target: Operand, weight: Any, reduction: Any, *deprecated: Any
) -> SpmdType:
    if deprecated != (None, None):
        raise Unsupported(f"{operation.name} with the deprecated arguments 'size_average' or 'reduce'")
    labels: DimLabels = ("class",) if x.ndim == 1 else (0, "class", *range(1, x.ndim - 1))
    batch: DimLabels = tuple(label for label in labels if label != "class")
    operands: list[LabeledOperand] = [(x, labels), (target, labels if target.ndim == x.ndim else batch)]
    if isinstance(weight, Operand):
        operands.append((weight, ("class",)))
        if operation.splits_batch and reduction == "mean" and _is_sharded(x):
            raise RuleViolation(UnequalCounts("weights"))
    linear = (0,) if operation.name == "nll_loss" else ()
    return _reduced_loss(operation, operands, batch, reduction, full=("class",), linear=linear)


def _is_sharded(x: Operand) -> bool:
    return isinstance(x.type, Sharded | PackedShard)


@op_rule("mse_loss", "smooth_l1_loss", "huber_loss", saves=saves(0, 1), may_alias=False)
@op_rule("l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div", may_alias=False)
def elementwise_loss_rule(operation: Operation) -> SpmdType:
    """input, target of one shape -> a loss for each entry, or their sum or mean"""
    known = ("input", "target", "weight", "pos_weight", "reduction", "beta", "delta", "log_target")
    if len(operation.arguments) != 2 or any(
        k not in known and v is not None for k, v in operation.keywords.items()
    ):
        raise Unsupported(f"{operation.name} has arguments that its rule does not know")
    operands = operation.operands()
    longest = max((operand.shape for operand in operands), key=len)
    if any(operand.shape != longest for operand in operands[:2]):
        raise Unsupported(f"{operation.name} of tensors of different shapes")
    labeled = [(operand, broadcast_labels(operand, longest)) for operand in operands]
    reduction = operation.keywords.get("reduction", "mean")
    return _reduced_loss(operation, labeled, tuple(range(len(longest))), reduction)


def _reduced_loss(
    operation: Operation,
    operands: list[LabeledOperand],
    labels: DimLabels,
    reduction: Any,
    full: DimLabels = (),
    linear: tuple[int, ...] = (),
) -> SpmdType:
    """The type of a loss.

    Args:
        operation: the call.
        operands: input, target and weights, with labels.
        labels: those of the loss before it is reduced.
        reduction: `none`, `sum` or `mean`, or `batchmean`, the sum over the batch size.
        full: the labels along which it needs all entries.
        linear: the operands in which it is linear.
    """
    if reduction == "none":
        return einsum_rule(operands, labels, need_replication=full, use="loss", linear_in=linear)
    if reduction == "sum":
        return einsum_rule(
            operands, (), reduction=labels, need_replication=full, use="loss", linear_in=linear
        )
    if reduction in ("mean", "batchmean"):
        averaged = labels if reduction == "mean" else labels[:1]
        return einsum_rule(
            operands,
            (),
            reduction=[label for label in labels if label not in averaged],
            need_replication=(*full, *averaged),
            averaged=averaged if operation.splits_batch else (),
            use="mean loss",
            linear_in=linear,
        )
    raise Unsupported(f"a loss with the reduction '{reduction}'")
