"""Losses."""

from __future__ import annotations

from typing import Any

from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.operation import Operand, Operation, Unsupported
from planc.proof.rules.pointwise import broadcast_labels
from planc.proof.rules.registry import always, op_rule
from planc.proof.rules.saved_tensors import SavedTensor, made, saved_sources, saves
from planc.proof.types import SpmdType


def cross_entropy_saves(operation: Operation) -> tuple[SavedTensor, ...] | None:
    """The log-probabilities, the target and a number, for targets that are classes.

    Source: `_log_softmax` and `nll_loss_forward` in torch's `derivatives.yaml`.
    """
    x, target, weight, *_, smoothing = operation.bind_arguments(
        "input", "target",
        weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", label_smoothing=0.0,
    )  # fmt: skip
    if weight is not None or smoothing or target.ndim == x.ndim:
        return None
    return (made(x.shape, x.dtype), *saved_sources(operation, (1,)), made((), x.dtype))


@op_rule("cross_entropy", saves=cross_entropy_saves, may_alias=False, returns_view=always)
def cross_entropy_rule(operation: Operation) -> SpmdType:
    """input (b, classes, ...) or (classes), target (b, ...) or as input, weight (classes)"""
    x, target, weight, size_average, _, reduce, reduction, _ = operation.bind_arguments(
        "input", "target",
        weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", label_smoothing=0.0,
    )  # fmt: skip
    return _classification_loss(operation, x, target, weight, reduction, size_average, reduce)


@op_rule("nll_loss", may_alias=False)
def nll_loss_rule(operation: Operation) -> SpmdType:
    """input (b, classes, ...) or (classes) of log-probabilities, target (b, ...), weight (classes)"""
    x, target, weight, size_average, _, reduce, reduction = operation.bind_arguments(
        "input", "target", weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"
    )
    return _classification_loss(operation, x, target, weight, reduction, size_average, reduce)


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
    linear = (0,) if operation.name == "nll_loss" else ()
    return _reduced_loss(operands, batch, reduction, full=("class",), linear=linear)


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
    return _reduced_loss(labeled, tuple(range(len(longest))), operation.keywords.get("reduction", "mean"))


def _reduced_loss(
    operands: list[LabeledOperand],
    labels: DimLabels,
    reduction: Any,
    full: DimLabels = (),
    linear: tuple[int, ...] = (),
) -> SpmdType:
    """The type of a loss.

    Args:
        operands: input, target and weights, with labels.
        labels: those of the loss before it is reduced.
        reduction: `none`, `sum` or `mean`.
        full: the labels along which it needs all entries.
        linear: the operands in which it is linear.
    """
    if reduction == "none":
        return einsum_rule(operands, labels, need_replication=full, use="loss", linear_in=linear)
    if reduction == "sum":
        return einsum_rule(
            operands, (), reduction=labels, need_replication=full, use="loss", linear_in=linear
        )
    if reduction == "mean":
        return einsum_rule(operands, (), need_replication=(*full, *labels), use="mean loss", linear_in=linear)
    raise Unsupported(f"a loss with the reduction '{reduction}'")
