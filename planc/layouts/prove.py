"""The proof of a bound plan: every axis of the mesh, from the inputs to what leaves the model.

On a tensor axis all ranks get the same inputs. On a data axis each rank gets its part of
the batch, and holds (as far as the numbers go) every parameter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from planc.ir.graph import Call, Function, ModelGraph, TensorInfo, Value
from planc.ir.record import Record
from planc.ir.settled import Placed
from planc.layouts.gate import Gate
from planc.layouts.interpret import Frame, Prover
from planc.layouts.outcome import Fault, Held, Origin, Outcome, joined
from planc.layouts.ports import entering, leaving
from planc.layouts.types import (
    CONSTANT,
    INVARIANT,
    PARTIAL,
    REPLICATED,
    UNKNOWN,
    WHOLE,
    Split,
    Type,
    split,
)
from planc.layouts.waste import gathered_logits
from planc.resolve.bind import Binding

_UNCLEAR = Held(UNKNOWN)
"""An input of which it is not known whether it is a part of the batch."""

DATA_RANKS = 2
"""Ranks that a data axis is proved for: what holds for two parts of the batch holds for more."""


class AxisProof(Record):
    """What was found on one axis."""

    axis: str
    ranks: int
    kind: Literal["tensor", "data"]
    block: Placed
    """The block of the plan that splits over the axis: its kind, and its place."""
    outcome: Outcome
    results: Mapping[str, Type]
    """What leaves the model, by name."""


class Proof(Record):
    """The proof on every axis that could be looked at."""

    axes: tuple[AxisProof, ...]
    open: tuple[str, ...]
    """Axes that have no size yet: nothing is proved of them."""


def prove(binding: Binding) -> Proof:
    """Follow the model on every axis that the plan splits over."""
    sizes = {axis.name: axis.size for axis in binding.settled.axes}
    proofs: list[AxisProof] = []
    unsized: list[str] = []
    for number, block in enumerate(binding.settled.blocks):
        if block.kind == "tensor":
            axis = block.axes[0].value
            size = sizes.get(axis)
            if size is None:
                unsized.append(axis)
            elif size > 1:
                proofs.append(_prove(binding, number, axis, size, "tensor"))
        elif block.kind == "fsdp":
            # With two axes the batch is split on both, alike: one of them shows it.
            split_on = [axis.value for axis in block.axes if sizes.get(axis.value) != 1]
            proofs += [_prove(binding, number, axis, DATA_RANKS, "data") for axis in split_on[:1]]
    return Proof(tuple(proofs), tuple(unsized))


def _prove(
    binding: Binding, number: int, axis: str, ranks: int, kind: Literal["tensor", "data"]
) -> AxisProof:
    graph, block = binding.graph, binding.settled.blocks[number]
    prover = Prover(binding, number if kind == "tensor" else None, ranks)
    main = graph.main
    inputs = [_input(main, i, kind, ranks) for i in range(main.inputs)]
    outer = Function(main.inputs, main.tensors[: main.inputs], (), (), ())
    frame = Frame(prover, outer, binding.root, inputs, "", None)
    placed = prover.weights.rule(binding.root)
    values = {name: Value(i) for i, name in enumerate(graph.inputs)}
    positions = tuple([value for name, value in values.items() if name.isdigit()])
    call = Call("", 0, positions, {n: v for n, v in values.items() if not n.isdigit()}, (), ())
    gate = Gate(frame, placed, "", call)
    if placed is not None:
        inputs = gate.enter(
            list(entering(placed.value, binding.root.module, call)), range(main.inputs), INVARIANT
        )
    outcome = prover.call(main, binding.root, inputs, "", placed)
    left = list(outcome.results)
    exits = [] if placed is None else list(leaving(placed.value, main))
    gate.leave(exits, left, main)
    results = dict(zip(main.returned, left))
    declared = {crossing.number for crossing in exits}
    top = Outcome()
    top.calls.append(("", outcome))
    top.faults += gate.faults
    top.moves += gate.moves
    top.passages += gate.passages
    leaves = dict(_named(main.result, results))
    split_loss = kind == "tensor" and block.loss is not None and block.loss.value.style != "whole"
    loss = block.loss if split_loss else None
    infos = {name: main.tensors[n] for name, n in _numbers(main.result)}
    for name, tensor in _numbers(main.result):
        seen = loss if is_logits(name, infos) else None
        fault = _leaving(name, leaves[name], infos[name], kind, seen, tensor in declared)
        if fault is not None:
            top.faults.append(fault)
    top.faults += _torn(top, graph)
    top.faults += _blind(top, inputs)
    if kind == "tensor" and block.loss is None:
        for name, info in infos.items():
            if is_logits(name, infos) and leaves[name].type is INVARIANT:
                top.wastes += gathered_logits(top, info)
    place = Placed(block, block.place)
    return AxisProof(axis, ranks, kind, place, top, {name: held.type for name, held in leaves.items()})


def _input(main: Function, number: int, kind: str, ranks: int) -> Held:
    info = main.tensors[number]
    if kind == "data" and info.shape:
        every = [tensor.shape[0] for tensor in main.tensors[: main.inputs] if len(tensor.shape) > 1]
        batch = next((size for size in every if size != 1), info.shape[0])
        if info.shape[0] == batch:
            return Held(split(0) if batch % ranks == 0 else UNKNOWN)
        if len(info.shape) > 1 and info.shape[0] != 1:
            return _UNCLEAR
    return Held(INVARIANT if info.grad else CONSTANT)


def is_logits(name: str, results: Mapping[str, TensorInfo]) -> bool:
    """Whether a result is what the loss is computed from: the one called logits, or the only
    one that a gradient flows to."""
    if "logits" in results:
        return name == "logits"
    return [n for n, info in results.items() if info.grad] == [name]


def _leaving(
    name: str, held: Held, info: TensorInfo, kind: str, loss: Placed | None, declared: bool
) -> Fault | None:
    """What is wrong with a value that leaves the model; `loss`: it is what the loss is computed
    from; `declared`: a port of the model itself says how it leaves."""
    where = f"the model's result '{name}'" if name else "the model's result"
    if held.type is UNKNOWN:
        return None
    if kind == "data":
        if held.type in WHOLE or held.type is split(0):
            return None
        return Fault("leaves", where, f"it leaves as {held.type}", "the part of each rank's own batch", None)
    if loss is not None:
        if held.type is split(len(info.shape) - 1):
            return None
        return Fault("loss-needs", where, f"it leaves as {held.type}",
                     f"shard({len(info.shape) - 1}): a loss on logits that are split over the vocabulary",
                     loss, None, held.origin)  # fmt: skip
    if held.type in (INVARIANT, CONSTANT):
        return None
    if isinstance(held.type, Split) and declared:
        return None
    return Fault("leaves", where, f"it leaves as {held.type}",
                 "a value that is whole, with its whole gradient, on every rank", None, None, held.origin)  # fmt: skip


def _torn(top: Outcome, graph: ModelGraph) -> Iterator[Fault]:
    """Parameters that are used in two ways: the sum over the axis that one use needs would
    count what the other gave once for every rank."""
    if not graph.ties and all(_is_plain(outcome) for outcome in top.distinct()):
        return
    same = {name: tie[0] for tie in graph.ties for name in tie}
    whole: dict[str, tuple[str, Placed | None]] = {}
    parts: dict[str, tuple[str, Placed | None]] = {}
    for path, outcome in top.walk():
        for name, rule in outcome.whole.items():
            full = joined(path, name)
            whole.setdefault(same.get(full, full), (full, rule))
        for name, (_, rule) in outcome.sums.items():
            full = joined(path, name)
            parts.setdefault(same.get(full, full), (full, rule))
    for name in [name for name in parts if name in whole]:
        (module, _, own), (other, rule) = parts[name][0].rpartition("."), whole[name]
        there = other.rpartition(".")[0] or "root"
        yield Fault("gradient", f"the parameter {own}",
                    f"its gradient is in parts here, and whole on every rank at {there}",
                    "uses that are alike: all behind a boundary that brings the value together, or none",
                    parts[name][1], None, Origin(there, rule), None, module)  # fmt: skip


def _blind(top: Outcome, inputs: Sequence[Held]) -> Iterator[Fault]:
    """A value that could not be followed, and of which no fault says why: never pass over it."""
    every = top.distinct()
    if any(held is _UNCLEAR for held in inputs):
        got, needed = (
            "its inputs are of different sizes: which of them are parts of the batch is not known",
            "",
        )
    elif any(held.type is UNKNOWN for held in inputs):
        got = "the batch that it was captured with cannot be halved"
        needed = "a graph that is captured with an even batch"
    elif any(outcome.blind for outcome in every) and not any(outcome.faults for outcome in every):
        got, needed = "a value could not be followed", ""
    else:
        return
    yield Fault("no-rule", "the model", got, needed, None)


def _is_plain(outcome: Outcome) -> bool:
    """Whether a call uses its own parameters alone, and calls each module once: then no
    parameter has two uses."""
    called = [name for name, _ in outcome.calls]
    own = not any("." in name or "/" in name for name in (*outcome.whole, *outcome.sums))
    return own and len(set(called)) == len(called) and not any("/" in name for name in called)


def _named(result: Any, held: Mapping[int, Held]) -> Iterator[tuple[str, Held]]:
    for name, number in _numbers(result):
        yield name, held[number]


def _numbers(result: Any, name: str = "") -> Iterator[tuple[str, int]]:
    """The tensors of what a model returns, by their names."""
    if isinstance(result, Value):
        yield name, result.number
    elif isinstance(result, tuple | Mapping):
        items = result.items() if isinstance(result, Mapping) else enumerate(result)
        for key, part in items:
            yield from _numbers(part, f"{name}.{key}" if name else str(key))


__all__ = ["DATA_RANKS", "PARTIAL", "REPLICATED", "AxisProof", "Proof", "is_logits", "prove"]
