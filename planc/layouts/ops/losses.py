"""Losses."""

from __future__ import annotations

from typing import Any

from planc.layouts.factors import Labels, Term, shared
from planc.layouts.operation import NotKnown, Operand, Operation
from planc.layouts.ops import rule
from planc.layouts.ops.pointwise import aligned
from planc.layouts.types import Type


@rule("cross_entropy")
def cross_entropy(operation: Operation) -> Type:
    """input (b, classes, ...) or (classes), target (b, ...) or as input, weight (classes)"""
    x, target, weight, average, _, old, reduction, _ = operation.bind(
        "input", "target",
        weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean", label_smoothing=0.0,
    )  # fmt: skip
    return _classes(operation, x, target, weight, reduction, average, old)


@rule("nll_loss")
def nll_loss(operation: Operation) -> Type:
    """As cross entropy, of logarithms of probabilities."""
    x, target, weight, average, _, old, reduction = operation.bind(
        "input", "target", weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean"
    )
    return _classes(operation, x, target, weight, reduction, average, old)


def _classes(
    operation: Operation, x: Operand, target: Operand, weight: Any, reduction: Any, *old: Any
) -> Type:
    if old != (None, None):
        raise NotKnown(f"the old arguments of {operation.name} have no rule")
    labels: Labels = ("class",) if x.ndim == 1 else (0, "class", *range(1, x.ndim - 1))
    places: Labels = tuple(label for label in labels if label != "class")
    terms: list[Term] = [(x, labels), (target, labels if target.ndim == x.ndim else places)]
    if isinstance(weight, Operand):
        terms.append((weight, ("class",)))
    linear = (0,) if operation.name == "nll_loss" else ()
    return _reduced(terms, places, reduction, fixed=("class",), linear=linear)


@rule("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
      "binary_cross_entropy_with_logits", "kl_div")  # fmt: skip
def elementwise(operation: Operation) -> Type:
    """A loss of every entry, then their sum or mean."""
    known = ("input", "target", "weight", "pos_weight", "reduction", "beta", "delta", "log_target")
    if len(operation.arguments) != 2 or any(
        k not in known and v is not None for k, v in operation.keywords.items()
    ):
        raise NotKnown(f"{operation.name} is called in a way that its rule does not know")
    operands = operation.operands()
    longest = max((operand.shape for operand in operands), key=len)
    if any(operand.shape != longest for operand in operands[:2]):
        raise NotKnown(f"{operation.name} stretches its operands")
    terms = [(operand, aligned(operand, longest)) for operand in operands]
    return _reduced(terms, tuple(range(len(longest))), operation.keywords.get("reduction", "mean"))


def _reduced(
    terms: list[Term], places: Labels, reduction: Any, fixed: Labels = (), linear: tuple[int, ...] = ()
) -> Type:
    why = "the loss needs all of that dim"
    if reduction == "none":
        return shared(terms, places, fixed=fixed, why=why, linear=linear)
    if reduction == "sum":
        return shared(terms, (), sums=places, fixed=fixed, why=why, linear=linear)
    if reduction == "mean":
        return shared(terms, (), fixed=(*fixed, *places), why=f"{why}: it is a mean", linear=linear)
    raise NotKnown(f"the reduction '{reduction}' of a loss has no rule")
