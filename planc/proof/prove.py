"""The proof of a bound plan: every axis of the mesh, from the inputs to what leaves the model.

On a tensor axis all ranks get the same inputs. On a data axis each rank gets its part of
the batch, and holds (as far as the numbers go) every parameter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from planc.bind.binding import Binding
from planc.ir.graph import Call, Function, ModelGraph, TensorInfo, Value
from planc.ir.record import Record
from planc.ir.resolved import Located
from planc.proof.boundary.module_boundary import ModuleBoundary
from planc.proof.boundary.ports import input_ports, output_ports
from planc.proof.interpreter.interpreter import Frame, Interpreter
from planc.proof.redundant_collectives import logits_gathers
from planc.proof.result import AbstractValue, Analysis, Origin, Violation, join_module_path
from planc.proof.types import (
    CONSTANT,
    INVARIANT,
    PARTIAL,
    REPLICATED,
    SAME_ON_ALL_RANKS,
    UNKNOWN,
    Sharded,
    SpmdType,
    sharded,
)

_UNKNOWN_BATCH = AbstractValue(UNKNOWN)
"""An input of which it is not known whether it is a part of the batch."""

DATA_AXIS_RANKS = 2
"""Ranks that a data axis is proved for: what holds for two parts of the batch holds for more."""


class AxisProof(Record):
    """What was found on one axis."""

    axis: str
    ranks: int
    kind: Literal["tensor", "data"]
    block: Located
    """The block of the plan that splits over the axis: its kind, and its place."""
    analysis: Analysis
    results: Mapping[str, SpmdType]
    """What leaves the model, by name."""


class Proof(Record):
    """The proof on every axis that could be looked at."""

    axes: tuple[AxisProof, ...]
    unsized_axes: tuple[str, ...]
    """Axes that have no size yet: nothing is proved of them."""


def prove(binding: Binding) -> Proof:
    """Follow the model on every axis that the plan splits over."""
    sizes = {axis.name: axis.size for axis in binding.resolved.axes}
    proofs: list[AxisProof] = []
    unsized: list[str] = []
    for number, block in enumerate(binding.resolved.blocks):
        if block.kind == "tensor":
            axis = block.axes[0].value
            size = sizes.get(axis)
            if size is None:
                unsized.append(axis)
            elif size > 1:
                proofs.append(_prove_axis(binding, number, axis, size, "tensor"))
        elif block.kind == "fsdp":
            # With two axes the batch is split on both, alike: one of them shows it.
            split_on = [axis.value for axis in block.axes if sizes.get(axis.value) != 1]
            proofs += [_prove_axis(binding, number, axis, DATA_AXIS_RANKS, "data") for axis in split_on[:1]]
    return Proof(tuple(proofs), tuple(unsized))


def _prove_axis(
    binding: Binding, number: int, axis: str, ranks: int, kind: Literal["tensor", "data"]
) -> AxisProof:
    graph, block = binding.graph, binding.resolved.blocks[number]
    prover = Interpreter(binding, number if kind == "tensor" else None, ranks)
    main = graph.main_function
    inputs = [_input_value(main, i, kind, ranks) for i in range(main.inputs)]
    outer = Function(main.inputs, main.tensors[: main.inputs], (), (), ())
    frame = Frame(prover, outer, binding.root, inputs, "", None)
    placed = prover.param_types.rule_of(binding.root)
    values = {name: Value(i) for i, name in enumerate(graph.inputs)}
    positions = tuple([value for name, value in values.items() if name.isdigit()])
    call = Call("", 0, positions, {n: v for n, v in values.items() if not n.isdigit()}, (), ())
    gate = ModuleBoundary(frame, placed, "", call)
    if placed is not None:
        inputs = gate.convert_inputs(
            list(input_ports(placed.value, binding.root.module, call)), range(main.inputs), INVARIANT
        )
    outcome = prover.analyze(main, binding.root, inputs, "", placed)
    left = list(outcome.results)
    exits = [] if placed is None else list(output_ports(placed.value, main))
    gate.convert_outputs(exits, left, main)
    results = dict(zip(main.returned_tensors, left))
    declared = {crossing.tensor for crossing in exits}
    top = Analysis()
    top.calls.append(("", outcome))
    top.violations += gate.violations
    top.collectives += gate.collectives
    top.boundary_changes += gate.changes
    leaves = dict(_named_values(main.result, results))
    split_loss = kind == "tensor" and block.loss is not None and block.loss.value.style != "whole"
    loss = block.loss if split_loss else None
    infos = {name: main.tensors[n] for name, n in _named_tensors(main.result)}
    for name, tensor in _named_tensors(main.result):
        seen = loss if is_logits(name, infos) else None
        fault = _check_output(name, leaves[name], infos[name], kind, seen, tensor in declared)
        if fault is not None:
            top.violations.append(fault)
    top.violations += _gradients_used_both_ways(top, graph)
    top.violations += _unexplained_unknowns(top, inputs)
    if kind == "tensor" and block.loss is None:
        for name, info in infos.items():
            if is_logits(name, infos) and leaves[name].type is INVARIANT:
                top.redundant_collectives += logits_gathers(top, info)
    place = Located(block, block.location)
    return AxisProof(axis, ranks, kind, place, top, {name: held.type for name, held in leaves.items()})


def _input_value(main: Function, number: int, kind: str, ranks: int) -> AbstractValue:
    info = main.tensors[number]
    if kind == "data" and info.shape:
        every = [tensor.shape[0] for tensor in main.tensors[: main.inputs] if len(tensor.shape) > 1]
        batch = next((size for size in every if size != 1), info.shape[0])
        if info.shape[0] == batch:
            return AbstractValue(sharded(0) if batch % ranks == 0 else UNKNOWN)
        if len(info.shape) > 1 and info.shape[0] != 1:
            return _UNKNOWN_BATCH
    return AbstractValue(INVARIANT if info.grad else CONSTANT)


def is_logits(name: str, results: Mapping[str, TensorInfo]) -> bool:
    """Whether a result is what the loss is computed from: the one called logits, or the only
    one that a gradient flows to."""
    if "logits" in results:
        return name == "logits"
    return [n for n, info in results.items() if info.grad] == [name]


def _check_output(
    name: str, held: AbstractValue, info: TensorInfo, kind: str, loss: Located | None, declared: bool
) -> Violation | None:
    """What is wrong with a value that leaves the model; `loss`: it is what the loss is computed
    from; `declared`: a port of the model itself says how it leaves."""
    where = f"the model's result '{name}'" if name else "the model's result"
    if held.type is UNKNOWN:
        return None
    if kind == "data":
        if held.type in SAME_ON_ALL_RANKS or held.type is sharded(0):
            return None
        return Violation(
            "leaves", where, f"it leaves as {held.type}", "the part of each rank's own batch", None
        )
    if loss is not None:
        if held.type is sharded(len(info.shape) - 1):
            return None
        return Violation("loss-needs", where, f"it leaves as {held.type}",
                     f"shard({len(info.shape) - 1}): a loss on logits that are split over the vocabulary",
                     loss, None, held.origin)  # fmt: skip
    if held.type in (INVARIANT, CONSTANT):
        return None
    if isinstance(held.type, Sharded) and declared:
        return None
    return Violation("leaves", where, f"it leaves as {held.type}",
                 "a value that is whole, with its whole gradient, on every rank", None, None, held.origin)  # fmt: skip


def _gradients_used_both_ways(top: Analysis, graph: ModelGraph) -> Iterator[Violation]:
    """Parameters that are used in two ways: the sum over the axis that one use needs would
    count what the other gave once for every rank."""
    if not graph.ties and all(_uses_params_once(outcome) for outcome in top.distinct_analyses()):
        return
    same = {name: tie[0] for tie in graph.ties for name in tie}
    whole: dict[str, tuple[str, Located | None]] = {}
    parts: dict[str, tuple[str, Located | None]] = {}
    for path, outcome in top.walk():
        for name, rule in outcome.full_gradients.items():
            full = join_module_path(path, name)
            whole.setdefault(same.get(full, full), (full, rule))
        for name, (_, rule) in outcome.summed_gradients.items():
            full = join_module_path(path, name)
            parts.setdefault(same.get(full, full), (full, rule))
    for name in [name for name in parts if name in whole]:
        (module, _, own), (other, rule) = parts[name][0].rpartition("."), whole[name]
        there = other.rpartition(".")[0] or "root"
        yield Violation("gradient", f"the parameter {own}",
                    f"its gradient is in parts here, and whole on every rank at {there}",
                    "uses that are alike: all behind a boundary that brings the value together, or none",
                    parts[name][1], None, Origin(there, rule), None, module)  # fmt: skip


def _unexplained_unknowns(top: Analysis, inputs: Sequence[AbstractValue]) -> Iterator[Violation]:
    """A value that could not be followed, and of which no fault says why: never pass over it."""
    every = top.distinct_analyses()
    if any(held is _UNKNOWN_BATCH for held in inputs):
        got, needed = (
            "its inputs are of different sizes: which of them are parts of the batch is not known",
            "",
        )
    elif any(held.type is UNKNOWN for held in inputs):
        got = "the batch that it was captured with cannot be halved"
        needed = "a graph that is captured with an even batch"
    elif any(outcome.has_unknown for outcome in every) and not any(outcome.violations for outcome in every):
        got, needed = "a value could not be followed", ""
    else:
        return
    yield Violation("no-rule", "the model", got, needed, None)


def _uses_params_once(outcome: Analysis) -> bool:
    """Whether a call uses its own parameters alone, and calls each module once: then no
    parameter has two uses."""
    called = [name for name, _ in outcome.calls]
    own = not any("." in name or "/" in name for name in (*outcome.full_gradients, *outcome.summed_gradients))
    return own and len(set(called)) == len(called) and not any("/" in name for name in called)


def _named_values(result: Any, held: Mapping[int, AbstractValue]) -> Iterator[tuple[str, AbstractValue]]:
    for name, number in _named_tensors(result):
        yield name, held[number]


def _named_tensors(result: Any, name: str = "") -> Iterator[tuple[str, int]]:
    """The tensors of what a model returns, by their names."""
    if isinstance(result, Value):
        yield name, result.number
    elif isinstance(result, tuple | Mapping):
        items = result.items() if isinstance(result, Mapping) else enumerate(result)
        for key, part in items:
            yield from _named_tensors(part, f"{name}.{key}" if name else str(key))


__all__ = ["DATA_AXIS_RANKS", "PARTIAL", "REPLICATED", "AxisProof", "Proof", "is_logits", "prove"]
