"""The boundary of one call of a module: its inputs take the layouts that it computes with, its results
the layouts that its caller sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from planc.ir.graph import Call, Function, TensorInfo
from planc.ir.layout import Layout, Replicate, Shard
from planc.ir.resolved import Located
from planc.ir.tree import TreePath
from planc.proof.boundary.ports import BoundaryPort, argument_tensors, tensor_paths
from planc.proof.boundary.transitions import (
    Transition,
    matches_layout,
    transition_between,
    type_of_layout,
)
from planc.proof.result import (
    UNKNOWN_VALUE,
    AbstractValue,
    BoundaryChange,
    CollectiveEvent,
    CollectiveKind,
    Direction,
    Origin,
    ProgramPoint,
    SummedGradient,
    Violation,
    join_module_path,
)
from planc.proof.rules.operation import RuleViolation, Unsupported
from planc.proof.types import (
    CONSTANT,
    DEFERRED_BIAS,
    INVARIANT,
    PARTIAL,
    REPLICATED,
    SAME_ON_ALL_RANKS,
    UNKNOWN,
    PackedShard,
    Sharded,
    SpmdType,
    sharded,
    sharded_dim,
)
from planc.proof.unproved import SeveralLayouts, SharedContainer
from planc.proof.violations import ArrivingLayout, Cause, PartialOperand


class ModuleBoundary:
    """The boundary of one call.

    Args:
        rule: the rule of the module.
        module: its name below the caller.
        path: its name in the model.
        call: the call.
        ranks: the size of the axis.
    """

    def __init__(self, rule: Located | None, module: str, path: str, call: Call, ranks: int) -> None:
        self.rule, self.module, self.path, self.ranks = rule, module, path, ranks
        self.argument_tensors, self.captured = list(argument_tensors(call)), call.free_tensors
        self.violations: list[Violation] = []
        self.collectives: list[CollectiveEvent] = []
        self.changes: list[BoundaryChange] = []
        self.sliced_inputs: dict[int, int] = {}
        """Full tensors that an input slices, and the dim."""
        self.summed_gradients: dict[str, SummedGradient] = {}
        self.full_gradients: dict[str, Located | None] = {}
        """Those of deferred biases; as in `Analysis`."""
        self.replicate_is_ambiguous = False
        """Whether «replicate» could have meant either of its two types."""
        self.may_sum_output_gradients = False
        """Whether «replicate -> replicate» at an output could have meant that the gradient is summed there."""

    def convert_inputs(
        self,
        ports: list[BoundaryPort],
        numbers: Sequence[int],
        values: Sequence[AbstractValue],
        infos: Sequence[TensorInfo],
        replicate_type: SpmdType,
    ) -> list[AbstractValue]:
        """The values that the module computes with.

        Args:
            ports: the inputs whose layout changes.
            numbers: the inputs of the function: the arguments of the call, then tensors that reach it otherwise.
            values: the caller's tensors, by number.
            infos: their shapes and dtypes.
            replicate_type: the type that «replicate» stands for.
        """
        before = [values[number] for number in numbers]
        passed = dict(zip(numbers, before, strict=True))
        count = len(numbers) - len(self.captured)
        for number, group in _group_by_tensor(ports).items():
            if number in passed:
                after = [self.convert(port, passed[number], infos[number], replicate_type) for port in group]
                passed[number] = self.merge_ports(group, after, passed[number], self.argument_tensors)
                if number in self.captured and self.escapes_in_container(group, 1, passed[number]):
                    passed[number] = UNKNOWN_VALUE
                    before = [UNKNOWN_VALUE if n == number else value for n, value in zip(numbers, before)]
        return [*(passed[number] for number in numbers[:count]), *before[count:]]

    def convert_outputs(
        self,
        ports: list[BoundaryPort],
        results: list[AbstractValue],
        function: Function,
        *,
        sums_gradients: bool = False,
    ) -> None:
        """Give returned tensors, in place, the layouts that the caller sees; other exports keep theirs.

        Args:
            ports: the outputs whose layout changes.
            results: what the function exports.
            function: the module's code.
            sums_gradients: whether «replicate -> replicate» sums the gradient, for a caller that computes with a part of it.
        """
        paths, count = list(tensor_paths(function.result)), len(function.returned_tensors)
        index_of = {number: index for index, number in enumerate(function.exports[:count])}
        for number, group in _group_by_tensor(ports).items():
            index = index_of.get(number)
            if index is None:
                continue
            before = results[index]
            is_full = before.type is INVARIANT and all(_is_full_twice(port) for port in group)
            self.may_sum_output_gradients |= is_full
            sums = before.type is REPLICATED or (is_full and sums_gradients)
            replicate_type = REPLICATED if sums else INVARIANT
            after = [self.convert(port, before, function.tensors[number], replicate_type) for port in group]
            results[index] = self.merge_ports(group, after, before, paths)
            if number in function.exports[count:] and self.escapes_in_container(group, 0, before):
                results[:] = [
                    UNKNOWN_VALUE if n == number else value for n, value in zip(function.exports, results)
                ]

    def escapes_in_container(self, ports: list[BoundaryPort], depth: int, value: AbstractValue) -> bool:
        """Whether a tensor that code on the other side reaches without the boundary passes the boundary
        inside a list or a mapping: other code may hold that container, and find the unconverted tensor there.

        Args:
            ports: where the tensor passes.
            depth: the length of a path to a tensor that is in no container.
            value: the tensor, for the violation.
        """
        port = next((port for port in ports if len(port.path) > depth), None)
        if port is not None:
            self.add_violation(port, SharedContainer(), value)
        return port is not None

    def merge_ports(
        self,
        ports: list[BoundaryPort],
        after: list[AbstractValue],
        before: AbstractValue,
        paths: Sequence[tuple[TreePath, int]],
    ) -> AbstractValue:
        """The value of a tensor that passes the boundary at one path or at several.

        One tensor of the graph must stay one tensor: at all its paths it needs the same layout.
        """
        changed = {port.path: value.type for port, value in zip(ports, after, strict=True)}
        types = {changed.get(path, before.type) for path, number in paths if number == ports[0].tensor}
        if types <= {after[0].type}:
            return after[0]
        self.add_violation(ports[0], SeveralLayouts(ports[0].is_input), before)
        return UNKNOWN_VALUE

    def convert(
        self, port: BoundaryPort, value: AbstractValue, info: TensorInfo, replicate_type: SpmdType
    ) -> AbstractValue:
        """The value of a tensor behind a port, with the collectives and the violations of its change."""
        origin = Origin(self.path, self.rule)
        try:
            target = type_of_layout(
                port.after, info.shape, self.ranks, replicate_type if info.grad else CONSTANT
            )
            if target in SAME_ON_ALL_RANKS and value.type not in (REPLICATED, CONSTANT):
                self.replicate_is_ambiguous = self.replicate_is_ambiguous or info.grad
            if not self._arrives_as_declared(port, value, info):
                self.record_declared_change(port, target, info)
                return AbstractValue(target, origin)  # go on as if the declaration were right
            if _keeps_type(value.type, target):
                self._record_change(port, value.type, value.type, info)
                return value
            self._record_change(port, value.type, target, info)
            transition = transition_between(value.type, target, grad=info.grad)
        except RuleViolation as violation:
            self.add_violation(port, violation.cause, value)
            return self.record_unknown_change(port, info)
        except Unsupported as unsupported:
            self.add_violation(port, unsupported.cause, value)
            return self.record_unknown_change(port, info)
        self._record_collectives(port, value.type, target, transition, info)
        return AbstractValue(target, origin, copied=value.copied or target is not value.type)

    def _arrives_as_declared(self, port: BoundaryPort, value: AbstractValue, info: TensorInfo) -> bool:
        """Whether the value that arrives has the layout that the plan declares; a violation where not."""
        if value.type is UNKNOWN:
            return False  # another violation says why
        if port.before is None or _matches_declared(value.type, port.before, len(info.shape)):
            return True
        self.add_violation(port, ArrivingLayout(value.type, port.before), value)
        return False

    def _record_change(self, port: BoundaryPort, before: SpmdType, after: SpmdType, info: TensorInfo) -> None:
        from_last = _counts_from_last(port.before), _counts_from_last(port.after)
        change = BoundaryChange(
            self.module, port.is_input, port.path, before, after, len(info.shape), from_last
        )
        self.changes.append(change)

    def _record_collectives(
        self, port: BoundaryPort, before: SpmdType, after: SpmdType, transition: Transition, info: TensorInfo
    ) -> None:
        """Note what the change communicates; a tensor that passes at several paths is converted once."""
        if isinstance(after, Sharded) and before in SAME_ON_ALL_RANKS and port.is_input:
            self.sliced_inputs[port.tensor] = after.dim
        dim = after.dim if isinstance(after, Sharded) else sharded_dim(before)
        if any(event.is_input == port.is_input and event.tensor == port.tensor for event in self.collectives):
            return
        kinds: tuple[tuple[CollectiveKind | None, Direction], ...] = (
            (transition.forward, "forward"),
            (transition.backward, "backward"),
        )
        for kind, direction in kinds:
            if kind is not None:
                tensor = (info.shape, info.dtype, info.bytes)
                self.collectives.append(
                    CollectiveEvent(
                        self.module, kind, direction, *tensor, self.rule, port.name, port.tensor, dim
                    )
                )

    def record_declared_change(self, port: BoundaryPort, target: SpmdType, info: TensorInfo) -> None:
        """Note the change that the plan declares for a value that has another layout, or an unknown one.

        `lower_unproved` runs plans that are not proved as they are written.
        """
        if port.before is None:
            return
        with suppress(RuleViolation, Unsupported):
            replicate_type = INVARIANT if info.grad else CONSTANT
            declared = type_of_layout(port.before, info.shape, self.ranks, replicate_type)
            self._record_change(port, declared, target, info)

    def record_unknown_change(self, port: BoundaryPort, info: TensorInfo) -> AbstractValue:
        """Note a change that planc cannot make; its result is unknown."""
        self._record_change(port, UNKNOWN, UNKNOWN, info)
        return UNKNOWN_VALUE

    def add_deferred_bias(
        self,
        param_types: Mapping[str, SpmdType],
        infos: Mapping[str, TensorInfo],
        results: list[AbstractValue],
        function: Function,
    ) -> None:
        """Add the bias of a rowwise module to its first result, in place, after the all-reduce.

        Args:
            param_types: the types of the module's parameters.
            infos: their shapes and dtypes.
            results: what the function returns.
            function: the module's code.
        """
        biases = [name for name, spmd_type in param_types.items() if spmd_type is DEFERRED_BIAS]
        if not biases or not function.returned_tensors:
            return
        result_type = results[0].type
        if result_type is PARTIAL:
            cause, point = PartialOperand("deferred bias"), ProgramPoint("port", "output")
            self.violations.append(Violation(cause, point, self.rule, ("output",), module=self.module))
            results[0] = UNKNOWN_VALUE
            return
        for name in biases:
            if not infos[name].grad:
                continue
            if isinstance(result_type, Sharded):
                self.summed_gradients[join_module_path(self.module, name)] = (infos[name], self.rule)
            else:
                self.full_gradients[join_module_path(self.module, name)] = self.rule

    def add_violation(self, port: BoundaryPort, cause: Cause, value: AbstractValue) -> None:
        """Note a violation at a port."""
        point = ProgramPoint("port", port.name)
        self.violations.append(
            Violation(cause, point, self.rule, port.rule_field, value.origin, module=self.module)
        )


def _group_by_tensor(ports: list[BoundaryPort]) -> dict[int, list[BoundaryPort]]:
    groups: dict[int, list[BoundaryPort]] = {}
    for port in ports:
        groups.setdefault(port.tensor, []).append(port)
    return groups


def _is_full_twice(port: BoundaryPort) -> bool:
    """Whether a port says «replicate -> replicate»."""
    return isinstance(port.before, Replicate) and isinstance(port.after, Replicate)


def _counts_from_last(layout: Layout | None) -> bool:
    return isinstance(layout, Shard) and layout.dim < 0


def _keeps_type(before: SpmdType, target: SpmdType) -> bool:
    """Whether a value that arrives needs no change, though its type is not the target itself."""
    is_packed = isinstance(before, PackedShard) and sharded_dim(target) == before.dim
    return is_packed or (target in SAME_ON_ALL_RANKS and before in (CONSTANT, REPLICATED))


def _matches_declared(spmd_type: SpmdType, layout: Layout, ndim: int) -> bool:
    """Whether a value has the layout of a declaration; a packed shard may be declared as a plain one."""
    if isinstance(spmd_type, PackedShard):
        return matches_layout(sharded(spmd_type.dim), layout, ndim)
    return matches_layout(spmd_type, layout, ndim)
