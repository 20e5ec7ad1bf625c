"""Recurrent layers and cells: each sample by itself, and all of every other dim."""

from __future__ import annotations

from collections.abc import Iterator

from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.operation import Operand, Operation, Unsupported, iter_operands
from planc.proof.rules.registry import always, op_rule
from planc.proof.types import SpmdType

_BATCH = "b"
_DROPOUT, _TRAIN, _BATCH_FIRST = 5, 6, 8
"""The positions of arguments of a layer."""


def layer_uses_rng(operation: Operation) -> bool:
    """A layer in training drops entries between the layers inside of it."""
    given = operation.arguments
    return len(given) > _TRAIN and bool(given[_DROPOUT]) and bool(given[_TRAIN])


@op_rule(
    "lstm", "gru", "rnn_tanh", "rnn_relu", uses_rng=layer_uses_rng, may_alias=False, returns_view=always,
    saved_as=("matmul",), changes_saved=True,
)  # fmt: skip
def recurrent_layer_rule(operation: Operation) -> tuple[SpmdType, ...]:
    """x (t, b, in) or batch first, the state or states (layers, b, out), weights -> y (t, b, out), states (layers, b, out)"""
    if len(operation.arguments) != _BATCH_FIRST + 1 or operation.keywords:
        raise Unsupported(f"{operation.name} of a packed sequence")
    x, states, weights, *_, batch_first = operation.arguments
    if not isinstance(x, Operand) or x.ndim != 3 or not isinstance(batch_first, bool):
        raise Unsupported(f"the rule of {operation.name} expects a batch of sequences")
    of_sequence: DimLabels = (_BATCH, "t", "in") if batch_first else ("t", _BATCH, "in")
    of_state: DimLabels = ("layer", _BATCH, "out")
    operands: list[LabeledOperand] = [(x, of_sequence), *((s, of_state) for s in iter_operands(states))]
    results = (of_sequence, *[of_state] * (len(operation.results) - 1))
    return tuple(_recurrent_type(operands, iter_operands(weights), result) for result in results)


@op_rule(
    "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell", may_alias=False, saved_as=("matmul",),
    changes_saved=True,
)  # fmt: skip
def recurrent_cell_rule(operation: Operation) -> tuple[SpmdType, ...]:
    """x (b, in), the state or states (b, out), weights -> the new ones (b, out)"""
    x, states, *weights = operation.bind_arguments("input", "hx", "w_ih", "w_hh", b_ih=None, b_hh=None)
    if not isinstance(x, Operand) or x.ndim != 2:
        raise Unsupported(f"the rule of {operation.name} expects a batch of entries")
    operands: list[LabeledOperand] = [
        (x, (_BATCH, "in")),
        *((s, (_BATCH, "out")) for s in iter_operands(states)),
    ]
    found = _recurrent_type(operands, iter_operands(tuple(weights)), (_BATCH, "out"))
    return (found,) * len(operation.results)


def _recurrent_type(
    operands: list[LabeledOperand], weights: Iterator[Operand], result: DimLabels
) -> SpmdType:
    every: list[LabeledOperand] = [*operands, *((weight, ("weight",) * weight.ndim) for weight in weights)]
    return einsum_rule(
        every, result, need_replication=("t", "layer", "in", "out", "weight"), use="recurrence"
    )
