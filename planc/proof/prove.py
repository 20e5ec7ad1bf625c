"""The proof of a bound plan: every axis of the mesh, from the model's inputs to its outputs.

On an axis that splits tensors all ranks get the same inputs. On one that splits the batch each rank gets
its part of the batch, and computes with all parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from planc.bind.binding import Binding
from planc.ir.graph import Call, Function, ModelGraph, TensorInfo, Value
from planc.ir.resolved import Located
from planc.proof.accepted import accepting_statement
from planc.proof.batch_causes import AverageLeaves, SumLeaves
from planc.proof.boundary.module_boundary import ModuleBoundary
from planc.proof.boundary.ports import input_ports, output_ports
from planc.proof.compiled_sizes import compiled_size_reads
from planc.proof.gradient_uses import gradients_used_both_ways
from planc.proof.interpreter.context import AxisContext
from planc.proof.interpreter.interpreter import Interpreter
from planc.proof.model_outputs import is_logits, output_paths
from planc.proof.redundant_collectives import logits_gathers
from planc.proof.regions.repeatable import prove_regions
from planc.proof.result import (
    UNKNOWN_VALUE,
    AbstractValue,
    Analysis,
    AxisProof,
    ProgramPoint,
    Proof,
    Violation,
)
from planc.proof.size_views import choose_views
from planc.proof.types import (
    AVERAGE,
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
from planc.proof.units.find_misuse import unit_violations
from planc.proof.unproved import MixedBatchInputs, OddBatch, UnclearLogits, UnknownValue, Unproved
from planc.proof.violations import Cause, LogitsNotSharded, OutputNotBatch, OutputNotFull

BATCH_AXIS_RANKS = 2
"""Ranks for which an axis that splits the batch is proved: what holds for two parts of the batch holds for more."""

_UNKNOWN_BATCH = AbstractValue(UNKNOWN)
"""An input that may or may not be a part of the batch."""


def prove(binding: Binding) -> Proof:
    """Follow the model on every axis that the plan splits over, and the regions that it recomputes."""
    sizes = binding.resolved.axis_sizes
    proofs: list[AxisProof] = []
    unsized: list[str] = []
    unsupported: list[str] = []
    compiled: list[str] = []
    for number, block in enumerate(binding.resolved.blocks):
        # Both axes of HSDP split the batch in the same way: one of them is enough.
        split_on = [axis.value for axis in block.axes if sizes.get(axis.value) != 1]
        if block.row.axis_role is None or not split_on:
            continue
        axis, size = split_on[0], sizes.get(split_on[0])
        if block.splits_batch:
            proved = _AxisProver(binding, number, BATCH_AXIS_RANKS).prove(axis)
            proved.analysis.violations += unit_violations(binding, number)
            proofs.append(proved)
        elif not block.splits_tensors:
            unsupported.append(axis)
        elif size is None:
            unsized.append(axis)
        else:
            proofs.append(_prove_tensor_axis(binding, number, size, axis))
            compiled += compiled_size_reads(binding, number, proofs[-1])
    regions = prove_regions(binding, has_axes=bool(proofs))
    return Proof(
        tuple(proofs),
        tuple(unsized),
        tuple(unsupported),
        regions.violations,
        regions.restored_buffers,
        tuple(compiled),
    )


def prove_tensor_axes(binding: Binding, proof: Proof) -> Proof:
    """A proof with its tensor axes proved once more, as those of another binding of the same plan."""
    numbers = {id(block): number for number, block in enumerate(binding.resolved.blocks)}
    axes = [
        _prove_tensor_axis(binding, numbers[id(axis.block.value)], axis.ranks, axis.axis)
        if axis.splits_tensors
        else axis
        for axis in proof.axes
    ]
    return proof.with_(axes=tuple(axes))


def _prove_tensor_axis(binding: Binding, number: int, ranks: int, axis: str) -> AxisProof:
    def attempt(local_entries: frozenset[int]) -> AxisProof:
        proved = _AxisProver(binding, number, ranks, local_entries).prove(axis)
        return proved.with_(local_sizes=local_entries)

    return choose_views(binding, number, attempt)


class _AxisProver:
    """Proves a plan on one axis."""

    def __init__(
        self,
        binding: Binding,
        number: int,
        ranks: int,
        local_entries: frozenset[int] = frozenset(),
    ) -> None:
        self.binding, self.ranks = binding, ranks
        self.graph, self.main = binding.graph, binding.graph.main_function
        self.block = binding.resolved.blocks[number]
        block = number if self.block.splits_tensors else None
        self.context = AxisContext(binding, block, ranks, local_entries)
        self.rule = self.context.param_types.rule_of(binding.root)

    def prove(self, axis: str) -> AxisProof:
        """Follow the model, and check what leaves it.

        Of the two types of «replicate» at the model's own inputs, the one with fewer violations is right; so it is at
        outputs of modules that the plan declares as `replicate -> replicate`.
        """
        proof, is_ambiguous = self._prove_with(axis, INVARIANT)
        if not _count_violations(proof):
            return proof
        proofs = [proof, *([self._prove_with(axis, REPLICATED)[0]] if is_ambiguous else [])]
        if self.context.may_sum_output_gradients:
            self.context.sums_output_gradients = True
            proofs.append(self._prove_with(axis, INVARIANT)[0])
            self.context.sums_output_gradients = False
        return min(proofs, key=_count_violations)

    def _prove_with(self, axis: str, replicate_type: SpmdType) -> tuple[AxisProof, bool]:
        """The proof, and whether «replicate» at an input of the model could have meant the other type."""
        batch_ranks = self.ranks if self.block.splits_batch else None
        inputs = [_input_value(self.main, i, batch_ranks) for i in range(self.main.inputs)]
        boundary = ModuleBoundary(self.rule, "", "", _call_of_model(self.graph), self.ranks)
        top, results, declared = self._run(inputs, boundary, replicate_type)
        is_ambiguous = boundary.replicate_is_ambiguous
        outputs = {name: number for name, (_, number) in output_paths(self.main).items()}
        leaving = {name: results[number] for name, number in outputs.items()}
        infos = {name: self.main.tensors[number] for name, number in outputs.items()}
        for name, value in leaving.items():
            cause = self._check_output(value, infos[name], is_logits(name, infos), outputs[name] in declared)
            if cause is not None:
                violation = self._output_violation(cause, name, value)
                (top.violations if violation.accepted_by is None else top.accepted).append(violation)
        if self.block.splits_logits and not any(is_logits(name, infos) for name in infos):
            top.violations.append(Violation(UnclearLogits(), ProgramPoint("model"), self.block.loss))
        top.violations += gradients_used_both_ways(top, self.graph)
        top.violations += _unexplained_unknowns(top, inputs)
        if self.block.splits_tensors and self.block.loss is None:
            for name, info in infos.items():
                if is_logits(name, infos) and leaving[name].type is INVARIANT:
                    top.redundant_collectives += logits_gathers(top, info)
        types = {name: value.type for name, value in leaving.items()}
        block = Located(self.block, self.block.location)
        return AxisProof(axis, self.ranks, block, top, types), is_ambiguous

    def _run(
        self, inputs: list[AbstractValue], boundary: ModuleBoundary, replicate_type: SpmdType
    ) -> tuple[Analysis, dict[int, AbstractValue], set[int]]:
        """The analysis of a caller of the model, the model's results by number, and the results
        whose layout the plan declares."""
        root = self.binding.root
        values = inputs
        if self.rule is not None:
            ports = list(input_ports(self.rule.value, root.module, _call_of_model(self.graph)))
            numbers = range(self.main.inputs)
            values = boundary.convert_inputs(ports, numbers, inputs, self.main.tensors, replicate_type)
        analysis = Interpreter(self.context).analyze(self.main, root, values, "", self.rule)
        results = list(analysis.results)
        exits = [] if self.rule is None else list(output_ports(self.rule.value, self.main))
        boundary.convert_outputs(exits, results, self.main)
        top = Analysis()
        top.calls.append(("", analysis))
        top.violations += boundary.violations
        top.collectives += boundary.collectives
        top.boundary_changes += boundary.changes
        return top, dict(zip(self.main.returned_tensors, results)), {port.tensor for port in exits}

    def _check_output(
        self, value: AbstractValue, info: TensorInfo, logits: bool, declared: bool
    ) -> Cause | None:
        """What is wrong with a value that leaves the model.

        Args:
            logits: whether the loss is computed from it.
            declared: whether a port of the model itself says how it leaves.
        """
        spmd_type, last = value.type, len(info.shape) - 1
        if spmd_type is UNKNOWN:
            return None
        if self.block.splits_batch:
            part = spmd_type in SAME_ON_ALL_RANKS or isinstance(spmd_type, Sharded)
            return None if part else _batch_output(spmd_type, info)
        if logits and self.block.splits_logits:
            return None if spmd_type is sharded(last) else LogitsNotSharded(spmd_type, last)
        if spmd_type in (INVARIANT, CONSTANT) or (isinstance(spmd_type, Sharded) and declared):
            return None
        return OutputNotFull(spmd_type)

    def _output_violation(self, cause: Cause, name: str, value: AbstractValue) -> Violation:
        point = ProgramPoint("result", name)
        if self.block.splits_batch:
            resolved, root = self.binding.resolved, self.binding.root
            accepted_by = accepting_statement(resolved, root, cause.law, splits_batch=True)
            return Violation(cause, point, None, accepted_by=accepted_by, may_be_accepted=True)
        rule = self.block.loss if isinstance(cause, LogitsNotSharded) else None
        return Violation(cause, point, rule, origin=value.origin)


def _batch_output(spmd_type: SpmdType, info: TensorInfo) -> Cause | None:
    """What is wrong with a value that leaves the model on an axis that splits the batch, and is not a part of it.

    The mean of one number over the batch may leave: it is the loss, or a term of it, and its gradient is averaged.
    """
    if spmd_type is PARTIAL:
        return SumLeaves()
    if spmd_type is not AVERAGE:
        return OutputNotBatch(spmd_type)
    return None if prod(info.shape) == 1 and info.is_floating else AverageLeaves(info.shape)


def _count_violations(proof: AxisProof) -> int:
    return sum(len(each.violations) for each in proof.analysis.distinct_analyses())


def _call_of_model(graph: ModelGraph) -> Call:
    values = {name: Value(i) for i, name in enumerate(graph.inputs)}
    positions = tuple([value for name, value in values.items() if name.isdigit()])
    keywords = {name: value for name, value in values.items() if not name.isdigit()}
    return Call("", 0, positions, keywords, (), ())


def _input_value(main: Function, number: int, batch_ranks: int | None) -> AbstractValue:
    """The value of an input of the model: a rank's part of it if the axis splits the batch."""
    info = main.tensors[number]
    if batch_ranks is not None and info.shape:
        sizes = [tensor.shape[0] for tensor in main.tensors[: main.inputs] if len(tensor.shape) > 1]
        batch = next((size for size in sizes if size != 1), info.shape[0])
        if info.shape[0] == batch:
            taken = None if info.is_floating else number
            return (
                AbstractValue(sharded(0), input_number=taken) if batch % batch_ranks == 0 else UNKNOWN_VALUE
            )
        if len(info.shape) > 1 and info.shape[0] != 1:
            return _UNKNOWN_BATCH
    return AbstractValue(INVARIANT if info.grad else CONSTANT)


def _unexplained_unknowns(top: Analysis, inputs: Sequence[AbstractValue]) -> Iterator[Violation]:
    """An unknown value that no violation explains: the proof never passes over one."""
    analyses = top.distinct_analyses()
    if any(value is _UNKNOWN_BATCH for value in inputs):
        cause: Unproved = MixedBatchInputs()
    elif any(value.type is UNKNOWN for value in inputs):
        cause = OddBatch()
    elif any(each.has_unknown for each in analyses) and not any(each.violations for each in analyses):
        cause = UnknownValue()
    else:
        return
    yield Violation(cause, ProgramPoint("model"), None)
