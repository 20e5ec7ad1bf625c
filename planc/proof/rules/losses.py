"""Losses."""

from __future__ import annotations

from typing import Any

from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.operation import Operand, Operation, Unsupported
from planc.proof.rules.pointwise import broadcast_labels
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import saves
from planc.proof.types import SpmdType


@op_rule("cross_entropy", may_alias=False)
def cross_entropy_rule(operation: Operation) -> SpmdType:
    """input (b, classes, ...) or (classes), target (b, ...) or as input, weight (classes)"""
    x, target, weight, average, _, old, reduction, _ = operation.bind_arguments(
        "input", "target",
        weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", label_smoothing=0.0,
    )  # fmt: skip
    return _classes(operation, x, target, weight, reduction, average, old)


@op_rule("nll_loss", may_alias=False)
def nll_loss_rule(operation: Operation) -> SpmdType:
    """As cross entropy, of logarithms of probabilities."""
    x, target, weight, average, _, old, reduction = operation.bind_arguments(
        "input", "target", weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"
    )
    return _classes(operation, x, target, weight, reduction, average, old)


def _classes(
    operation: Operation, x: Operand, target: Operand, weight: Any, reduction: Any, *old: Any
) -> SpmdType:
    if old != (None, None):
        raise Unsupported(f"the old arguments of {operation.name} have no rule")
    labels: DimLabels = ("class",) if x.ndim == 1 else (0, "class", *range(1, x.ndim - 1))
    places: DimLabels = tuple(label for label in labels if label != "class")
    terms: list[LabeledOperand] = [(x, labels), (target, labels if target.ndim == x.ndim else places)]
    if isinstance(weight, Operand):
        terms.append((weight, ("class",)))
    linear = (0,) if operation.name == "nll_loss" else ()
    return _reduced(terms, places, reduction, fixed=("class",), linear=linear)


@op_rule("mse_loss", "smooth_l1_loss", "huber_loss", saves=saves(0, 1), may_alias=False)
@op_rule("l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div", may_alias=False)
def elementwise_loss_rule(operation: Operation) -> SpmdType:
    """A loss of every entry, then their sum or mean."""
    known = ("input", "target", "weight", "pos_weight", "reduction", "beta", "delta", "log_target")
    if len(operation.arguments) != 2 or any(
        k not in known and v is not None for k, v in operation.keywords.items()
    ):
        raise Unsupported(f"{operation.name} is called in a way that its rule does not know")
    operands = operation.operands()
    longest = max((operand.shape for operand in operands), key=len)
    if any(operand.shape != longest for operand in operands[:2]):
        raise Unsupported(f"{operation.name} stretches its operands")
    terms = [(operand, broadcast_labels(operand, longest)) for operand in operands]
    return _reduced(terms, tuple(range(len(longest))), operation.keywords.get("reduction", "mean"))


def _reduced(
    terms: list[LabeledOperand],
    places: DimLabels,
    reduction: Any,
    fixed: DimLabels = (),
    linear: tuple[int, ...] = (),
) -> SpmdType:
    if reduction == "none":
        return einsum_rule(terms, places, need_replication=fixed, use="loss", linear_in=linear)
    if reduction == "sum":
        return einsum_rule(terms, (), reduction=places, need_replication=fixed, use="loss", linear_in=linear)
    if reduction == "mean":
        return einsum_rule(terms, (), need_replication=(*fixed, *places), use="mean loss", linear_in=linear)
    raise Unsupported(f"the reduction '{reduction}' of a loss has no rule")
