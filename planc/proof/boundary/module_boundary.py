"""The boundary of one call of a module: its inputs are brought to what it takes, its results
to what they are outside."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from planc.bind.binding import BoundModule
from planc.ir.graph import Call, Function, TensorInfo
from planc.ir.resolved import Located
from planc.proof.boundary.ports import BoundaryPort, TensorPath, argument_tensors, tensor_paths
from planc.proof.boundary.transitions import matches_layout, transition_between, type_of_layout
from planc.proof.result import (
    AbstractValue,
    BoundaryChange,
    CollectiveEvent,
    Origin,
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
    sharded_dim,
)

if TYPE_CHECKING:
    from planc.proof.interpreter.interpreter import Frame

_UNKNOWN = AbstractValue(UNKNOWN)


class ModuleBoundary:
    """The boundary of one call."""

    def __init__(self, frame: Frame, rule: Located | None, module: str, call: Call) -> None:
        self.frame, self.rule, self.module = frame, rule, module
        self.argument_tensors, self.captured = list(argument_tensors(call)), call.free_tensors
        self.path = join_module_path(frame.path, module)
        self.ranks = frame.interpreter.ranks
        self.violations: list[Violation] = []
        self.collectives: list[CollectiveEvent] = []
        self.changes: list[BoundaryChange] = []
        self.sliced_inputs: dict[int, int] = {}
        """Whole tensors of which a slice is taken at an input, and the dim."""
        self.replicate_is_ambiguous = False
        """Whether «replicate» could have meant either of its two types."""

    def convert_inputs(
        self, ports: list[BoundaryPort], numbers: Sequence[int], replicate_type: SpmdType
    ) -> list[AbstractValue]:
        """The types inside of the module.

        Args:
            crossings: what passes the boundary.
            numbers: the inputs of the function: what is handed, then what comes by other ways.
            whole: the type that «replicate» stands for.
        """
        infos = self.frame.function.tensors
        before = [self.frame.values[number] for number in numbers]
        passed = dict(zip(numbers, before, strict=True))
        count = len(numbers) - len(self.captured)
        for number, group in _group_by_tensor(ports).items():
            if number in passed:
                after = [
                    self.convert(crossing, passed[number], infos[number], replicate_type)
                    for crossing in group
                ]
                passed[number] = self.merge_ports(group, after, passed[number], self.argument_tensors)
                if number in self.captured and self.escapes_in_container(group, 1, passed[number]):
                    passed[number] = _UNKNOWN
                    before = [_UNKNOWN if n == number else held for n, held in zip(numbers, before)]
        return [*(passed[number] for number in numbers[:count]), *before[count:]]

    def convert_outputs(
        self, ports: list[BoundaryPort], results: list[AbstractValue], function: Function
    ) -> None:
        """Bring what is returned to what it is outside; what leaves by other ways stays as it is."""
        every, count = list(tensor_paths(function.result)), len(function.returned_tensors)
        by_place = {number: place for place, number in enumerate(function.exports[:count])}
        for number, group in _group_by_tensor(ports).items():
            place = by_place.get(number)
            if place is None:
                continue
            before = results[place]
            whole = REPLICATED if before.type is REPLICATED else INVARIANT
            after = [self.convert(crossing, before, function.tensors[number], whole) for crossing in group]
            results[place] = self.merge_ports(group, after, before, every)
            if number in function.exports[count:] and self.escapes_in_container(group, 0, before):
                results[:] = [_UNKNOWN if n == number else held for n, held in zip(function.exports, results)]

    def escapes_in_container(self, ports: list[BoundaryPort], depth: int, value: AbstractValue) -> bool:
        """Whether a value that is known beyond the boundary by other ways passes it in a list or the
        like: others may hold that list, and find there what did not pass.

        Args:
            ports: where it passes.
            depth: how deep it stands where it is no part of anything.
            held: what it is, for the fault.
        """
        port = next((port for port in ports if len(port.path) > depth), None)
        if port is not None:
            self.add_violation(port, "no-rule", "it passes in a list or the like that others may hold, "
                        "and is used by other ways too", "", value)  # fmt: skip
        return port is not None

    def merge_ports(
        self,
        ports: list[BoundaryPort],
        after: list[AbstractValue],
        before: AbstractValue,
        paths: Sequence[tuple[TensorPath, int]],
    ) -> AbstractValue:
        """What a value is that passes the boundary in one place or in several."""
        changed = {port.path: held.type for port, held in zip(ports, after, strict=True)}
        kinds = {changed.get(place, before.type) for place, number in paths if number == ports[0].tensor}
        if kinds <= {after[0].type}:
            return after[0]
        # One tensor in the graph, several in the split model: which is used where, none can tell.
        what = "it is handed" if ports[0].name.startswith("input") else "it returns"
        self.add_violation(ports[0], "no-rule", f"{what} this value in several places, "
                    "and the plan brings them to different layouts", "", before)  # fmt: skip
        return _UNKNOWN

    def convert(
        self, port: BoundaryPort, value: AbstractValue, info: TensorInfo, replicate_type: SpmdType
    ) -> AbstractValue:
        origin = Origin(self.path, self.rule)
        try:
            aim = type_of_layout(
                port.after, info.shape, self.ranks, replicate_type if info.grad else CONSTANT
            )
            if aim in SAME_ON_ALL_RANKS and value.type not in (REPLICATED, CONSTANT):
                self.replicate_is_ambiguous = self.replicate_is_ambiguous or info.grad
            if value.type is UNKNOWN:
                self.record_declared_change(port, aim, info)
                return AbstractValue(aim, origin)  # its fault is said; go on as if it were right
            if port.before is not None and not _matches_declared(value.type, port.before, len(info.shape)):
                self.add_violation(
                    port, "arrives", f"{value.type} arrives", f"{port.before}, as declared", value
                )
                self.record_declared_change(port, aim, info)
                return AbstractValue(aim, origin)
            enters = port.name.startswith("input")
            is_packed = isinstance(value.type, PackedShard) and sharded_dim(aim) == value.type.dim
            if is_packed or (aim in SAME_ON_ALL_RANKS and value.type in (CONSTANT, REPLICATED)):
                self.changes.append(BoundaryChange(self.module, enters, port.path, value.type, value.type))
                return value
            self.changes.append(BoundaryChange(self.module, enters, port.path, value.type, aim))
            cost = transition_between(value.type, aim, grad=info.grad)
        except RuleViolation as bad:
            self.add_violation(port, bad.law, bad.got, bad.needed, value)
            return self.record_unknown_change(port)
        except Unsupported as bad:
            self.add_violation(port, "no-rule", str(bad), "", value)
            return self.record_unknown_change(port)
        if isinstance(aim, Sharded) and value.type in SAME_ON_ALL_RANKS and port.name.startswith("input"):
            self.sliced_inputs[port.tensor] = aim.dim
        dim = aim.dim if isinstance(aim, Sharded) else sharded_dim(value.type)
        # What stands in several places is brought over once.
        done = any(move.is_input == enters and move.tensor == port.tensor for move in self.collectives)
        for kind, direction in ((cost.forward, "forward"), (cost.backward, "backward")):
            if kind is not None and not done:
                said = (self.module, kind, direction, info.shape, info.dtype, info.bytes)
                self.collectives.append(CollectiveEvent(*said, self.rule, port.name, port.tensor, dim))
        return AbstractValue(aim, origin, copied=value.copied or aim is not value.type)

    def record_declared_change(self, port: BoundaryPort, target: SpmdType, info: TensorInfo) -> None:
        """What would be done to a value that is not what the plan says, or not known: what it says. Of
        use to those who run plans that are not proved."""
        if port.before is None:
            return
        with suppress(RuleViolation, Unsupported):
            said = type_of_layout(port.before, info.shape, self.ranks, INVARIANT if info.grad else CONSTANT)
            enters = port.name.startswith("input")
            self.changes.append(BoundaryChange(self.module, enters, port.path, said, target))

    def record_unknown_change(self, port: BoundaryPort) -> AbstractValue:
        """What comes of a change that nobody can make."""
        enters = port.name.startswith("input")
        self.changes.append(BoundaryChange(self.module, enters, port.path, UNKNOWN, UNKNOWN))
        return _UNKNOWN

    def add_deferred_bias(self, bound: BoundModule, results: list[AbstractValue], function: Function) -> None:
        """A bias that is added after the sum."""
        types = self.frame.interpreter.param_types.types_of(bound)
        late = [name for name, kind in types.items() if kind is DEFERRED_BIAS]
        if not late or not function.returned_tensors:
            return
        kind = results[0].type
        if kind is PARTIAL:
            said = ("its bias would be added on every rank, and summed with the rest",
                    "the sum taken here, or a module without a bias")  # fmt: skip
            self.violations.append(
                Violation("partial", "output", *said, self.rule, "output", None, None, self.module)
            )
            results[0] = _UNKNOWN
            return
        for name in late:
            info = bound.module.parameters[name]
            if info.grad and isinstance(kind, Sharded):
                self.frame.analysis.summed_gradients[join_module_path(self.module, name)] = (info, self.rule)
            elif info.grad:
                self.frame.analysis.full_gradients[join_module_path(self.module, name)] = self.rule

    def add_violation(
        self, port: BoundaryPort, law: str, got: str, needed: str, value: AbstractValue
    ) -> None:
        said = (law, port.name, got, needed, self.rule, port.rule_field, value.origin, None, self.module)
        self.violations.append(Violation(*said))


def _group_by_tensor(crossings: list[BoundaryPort]) -> dict[int, list[BoundaryPort]]:
    groups: dict[int, list[BoundaryPort]] = {}
    for crossing in crossings:
        groups.setdefault(crossing.tensor, []).append(crossing)
    return groups


def _matches_declared(kind: SpmdType, layout: Any, ndim: int) -> bool:
    if isinstance(kind, PackedShard):
        return matches_layout(Sharded(kind.dim), layout, ndim)
    return matches_layout(kind, layout, ndim)
