"""torch.einsum."""

from __future__ import annotations

from typing import Any

from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.operation import Operand, Operation, Unsupported
from planc.proof.rules.registry import always, op_rule
from planc.proof.types import SpmdType


@op_rule("einsum", returns_view=always, saved_as=("matmul",))
def torch_einsum_rule(operation: Operation) -> SpmdType:
    """einsum("bij,bjk->bik", a, b): dims by their letters, those of `...` by their places from the last."""
    equation, *given = operation.arguments
    operands = given[0] if len(given) == 1 and isinstance(given[0], tuple) else tuple(given)
    are_tensors = all(isinstance(operand, Operand) for operand in operands)
    if not isinstance(equation, str) or not are_tensors or operation.keywords:
        raise Unsupported("the rule of einsum expects an equation and tensors")
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    letters = inputs.split(",")
    if len(letters) != len(operands):
        raise Unsupported("the equation of einsum has another number of operands")
    labels = [_labels(text, operand.ndim) for text, operand in zip(letters, operands, strict=True)]
    result = _labels(output, len(operation.results[0].shape)) if arrow else _implicit_result(labels)
    diagonals = {label for own in labels for label in own if own.count(label) > 1}
    return einsum_rule(
        _without_broadcast_dims(operands, labels),
        result,
        reduction={label for own in labels for label in own} - set(result) - diagonals,
        need_replication=diagonals,
        linear_in=range(len(operands)),
        use="diagonal",
    )


def _labels(text: str, ndim: int) -> DimLabels:
    """A label a dim: its letter, or its place from the last for the dims of `...`."""
    before, dots, after = text.partition("...")
    middle = tuple(range(len(before) + len(after) - ndim, 0)) if dots else ()
    return (*before, *middle, *after)


def _implicit_result(labels: list[DimLabels]) -> DimLabels:
    """The dims of a result without `->`: those of `...`, then the letters that occur once, in their order."""
    every = [label for own in labels for label in own]
    places = sorted({label for label in every if isinstance(label, int)})
    letters = sorted({label for label in every if isinstance(label, str) and every.count(label) == 1})
    return (*places, *letters)


def _without_broadcast_dims(operands: tuple[Any, ...], labels: list[DimLabels]) -> list[LabeledOperand]:
    """The operands with their labels; dims of size 1 that another operand broadcasts have none."""
    sizes: dict[Any, int] = {}
    for operand, own in zip(operands, labels, strict=True):
        for label, size in zip(own, operand.shape, strict=True):
            sizes[label] = max(size, sizes.get(label, 1))
    return [
        (operand, tuple(None if n == 1 != sizes[label] else label for label, n in zip(own, operand.shape)))
        for operand, own in zip(operands, labels, strict=True)
    ]
