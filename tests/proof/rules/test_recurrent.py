"""Rules of recurrent layers and cells, against numbers."""

from __future__ import annotations

import pytest
import torch

from planc.proof.rules.operation import RuleViolation, Unsupported
from planc.proof.types import CONSTANT, INVARIANT, PARTIAL, packed_shard, sharded
from tests.proof.rules.case_tables import compare_cases, make_operand
from tests.proof.rules.harness import Case, NumericMismatch, T, infer_result_types, sweep

RANKS = pytest.mark.parametrize("ranks", [2, 3])
WIDTH = 2


def weights(gates: int, inputs: int, width: int = WIDTH) -> tuple[T, ...]:
    rows = gates * width
    return T(rows, inputs), T(rows, width), T(rows), T(rows)


def checked(name: str):
    """The layer of torch, which reads beyond the end of states and weights that are too small."""

    def call(x, states, given, *settings):
        batch = x.shape[0 if settings[-1] else 1]
        rows = {"lstm": 4, "gru": 3}.get(name, 1) * WIDTH
        right = all(weight.shape[0] == rows for weight in given)
        states_given = states if isinstance(states, tuple | list) else (states,)
        layers = len(given) // 4
        for state in states_given:
            right = right and tuple(state.shape) == (layers, batch, WIDTH)
        if not right or any(weight.shape[1] != WIDTH for weight in given[1::4]):
            raise RuntimeError("sizes that do not match")
        return getattr(torch, name)(x, states, given, *settings)

    return call


def layer(name: str, gates: int, batch: int, *, batch_first: bool) -> Case:
    x = T(2 * batch, 3, WIDTH) if batch_first else T(3, 2 * batch, WIDTH)
    state = T(1, 2 * batch, WIDTH)
    states = (state, T(1, 2 * batch, WIDTH)) if name == "lstm" else state
    return Case(
        name, x, states, weights(gates, WIDTH), True, 1, 0.0, True, False, batch_first, call=checked(name)
    )


def deep_layer(batch: int) -> Case:
    """Two layers in both directions."""
    states = T(4, batch, WIDTH), T(4, batch, WIDTH)
    both = weights(4, WIDTH) * 2 + weights(4, 2 * WIDTH) * 2
    return Case(
        "lstm", T(3, batch, WIDTH), states, both, True, 2, 0.0, True, True, False, call=checked("lstm")
    )


@RANKS
def test_layers_and_cells(ranks):
    gates = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
    cases = [layer(name, n, ranks, batch_first=first) for name, n in gates.items() for first in (True, False)]
    for name, n in gates.items():
        state = T(2 * ranks, WIDTH)
        states = (state, T(2 * ranks, WIDTH)) if name == "lstm" else state
        cases.append(Case(f"{name}_cell", T(2 * ranks, 3), states, *weights(n, 3)))
    compare_cases([*cases, deep_layer(ranks)], ranks, min_accepted=150, accepted=20, refused=6,
                  known_strict=lambda _case, types: "a bias of zero weight" if PARTIAL in types else None)  # fmt: skip


def infer(x, *, dropout=0.0, batch_first=True):
    state = make_operand((1, 4, WIDTH), CONSTANT if x.type is not sharded(0) else sharded(1))
    given = tuple(make_operand(t.shape, CONSTANT) for t in weights(4, WIDTH))
    results = ((4, 3, WIDTH), (1, 4, WIDTH), (1, 4, WIDTH))
    return infer_result_types("lstm", x, (state, state), given, True, 1, dropout, True, False, batch_first, results=results)  # fmt: skip


def test_the_batch_may_be_sharded_and_nothing_else():
    assert infer(make_operand((4, 3, WIDTH), sharded(0))) == (sharded(0), sharded(1), sharded(1))
    for spmd_type in (sharded(1), sharded(2), packed_shard(1, (2, 2)), PARTIAL):
        with pytest.raises(RuleViolation):
            infer(make_operand((4, 3, WIDTH), spmd_type))
    with pytest.raises(RuleViolation):
        infer(make_operand((4, 3, WIDTH), sharded(0)), batch_first=False)


def test_packed_sequences_are_not_judged():
    data, sizes = make_operand((12, WIDTH), sharded(0)), make_operand((3,), CONSTANT, "int64")
    state = make_operand((1, 4, WIDTH), sharded(1))
    given = tuple(make_operand(t.shape, CONSTANT) for t in weights(3, WIDTH))
    with pytest.raises(Unsupported):
        infer_result_types("gru", data, sizes, state, given, True, 1, 0.0, True, False, results=((12, WIDTH), (1, 4, WIDTH)))  # fmt: skip


def test_the_simulation_finds_steps_that_are_sharded():
    with pytest.raises(NumericMismatch):
        sweep(layer("gru", 3, 2, batch_first=True), 2, infer=lambda _: (INVARIANT, INVARIANT))
