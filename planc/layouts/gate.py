"""The boundary of one call of a module: its inputs are brought to what it takes, its results
to what they are outside."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from planc.ir.graph import Call, Function, TensorInfo
from planc.ir.settled import Placed
from planc.layouts.boundary import change, is_as_declared, target
from planc.layouts.operation import NotKnown, Refused
from planc.layouts.outcome import Fault, Held, Move, Origin, Passage, joined
from planc.layouts.ports import Crossing, Place, handed, places
from planc.layouts.types import (
    CONSTANT,
    INVARIANT,
    LATE,
    PARTIAL,
    REPLICATED,
    UNKNOWN,
    WHOLE,
    Packed,
    Split,
    Type,
    cut_dim,
)
from planc.resolve.bind import Bound

if TYPE_CHECKING:
    from planc.layouts.interpret import Frame

_UNKNOWN = Held(UNKNOWN)


class Gate:
    """The boundary of one call."""

    def __init__(self, frame: Frame, placed: Placed | None, module: str, call: Call) -> None:
        self.frame, self.placed, self.module = frame, placed, module
        self.handed, self.outer = list(handed(call)), call.outer
        self.path = joined(frame.path, module)
        self.ranks = frame.prover.ranks
        self.faults: list[Fault] = []
        self.moves: list[Move] = []
        self.passages: list[Passage] = []
        self.cut: dict[int, int] = {}
        """Whole tensors of which a slice is taken at an input, and the dim."""
        self.chose = False
        """Whether «replicate» could have meant either of its two types."""

    def enter(self, crossings: list[Crossing], numbers: Sequence[int], whole: Type) -> list[Held]:
        """The types inside of the module.

        Args:
            crossings: what passes the boundary.
            numbers: the inputs of the function: what is handed, then what comes by other ways.
            whole: the type that «replicate» stands for.
        """
        infos = self.frame.function.tensors
        before = [self.frame.held[number] for number in numbers]
        passed = dict(zip(numbers, before, strict=True))
        count = len(numbers) - len(self.outer)
        for number, ports in _grouped(crossings).items():
            if number in passed:
                after = [self.cross(crossing, passed[number], infos[number], whole) for crossing in ports]
                passed[number] = self.agreed(ports, after, passed[number], self.handed)
                if number in self.outer and self.is_loose(ports, 1, passed[number]):
                    passed[number] = _UNKNOWN
                    before = [_UNKNOWN if n == number else held for n, held in zip(numbers, before)]
        return [*(passed[number] for number in numbers[:count]), *before[count:]]

    def leave(self, crossings: list[Crossing], results: list[Held], function: Function) -> None:
        """Bring what is returned to what it is outside; what leaves by other ways stays as it is."""
        every, count = list(places(function.result)), len(function.returned)
        by_place = {number: place for place, number in enumerate(function.exports[:count])}
        for number, ports in _grouped(crossings).items():
            place = by_place.get(number)
            if place is None:
                continue
            before = results[place]
            whole = REPLICATED if before.type is REPLICATED else INVARIANT
            after = [self.cross(crossing, before, function.tensors[number], whole) for crossing in ports]
            results[place] = self.agreed(ports, after, before, every)
            if number in function.exports[count:] and self.is_loose(ports, 0, before):
                results[:] = [_UNKNOWN if n == number else held for n, held in zip(function.exports, results)]

    def is_loose(self, ports: list[Crossing], depth: int, held: Held) -> bool:
        """Whether a value that is known beyond the boundary by other ways passes it in a list or the
        like: others may hold that list, and find there what did not pass.

        Args:
            ports: where it passes.
            depth: how deep it stands where it is no part of anything.
            held: what it is, for the fault.
        """
        port = next((port for port in ports if len(port.place) > depth), None)
        if port is not None:
            self.refuse(port, "no-rule", "it passes in a list or the like that others may hold, "
                        "and is used by other ways too", "", held)  # fmt: skip
        return port is not None

    def agreed(
        self, ports: list[Crossing], after: list[Held], before: Held, every: Sequence[tuple[Place, int]]
    ) -> Held:
        """What a value is that passes the boundary in one place or in several."""
        changed = {port.place: held.type for port, held in zip(ports, after, strict=True)}
        kinds = {changed.get(place, before.type) for place, number in every if number == ports[0].number}
        if kinds <= {after[0].type}:
            return after[0]
        # One tensor in the graph, several in the split model: which is used where, none can tell.
        what = "it is handed" if ports[0].name.startswith("input") else "it returns"
        self.refuse(ports[0], "no-rule", f"{what} this value in several places, "
                    "and the plan brings them to different layouts", "", before)  # fmt: skip
        return _UNKNOWN

    def cross(self, crossing: Crossing, held: Held, info: TensorInfo, whole: Type) -> Held:
        origin = Origin(self.path, self.placed)
        try:
            aim = target(crossing.after, info.shape, self.ranks, whole if info.grad else CONSTANT)
            if aim in WHOLE and held.type not in (REPLICATED, CONSTANT):
                self.chose = self.chose or info.grad
            if held.type is UNKNOWN:
                self.pass_as_said(crossing, aim, info)
                return Held(aim, origin)  # its fault is said; go on as if it were right
            if crossing.before is not None and not _arrives(held.type, crossing.before, len(info.shape)):
                self.refuse(
                    crossing, "arrives", f"{held.type} arrives", f"{crossing.before}, as declared", held
                )
                self.pass_as_said(crossing, aim, info)
                return Held(aim, origin)
            enters = crossing.name.startswith("input")
            is_packed = isinstance(held.type, Packed) and cut_dim(aim) == held.type.dim
            if is_packed or (aim in WHOLE and held.type in (CONSTANT, REPLICATED)):
                self.passages.append(Passage(self.module, enters, crossing.place, held.type, held.type))
                return held
            self.passages.append(Passage(self.module, enters, crossing.place, held.type, aim))
            cost = change(held.type, aim, grad=info.grad)
        except Refused as bad:
            self.refuse(crossing, bad.law, bad.got, bad.needed, held)
            return self.nothing(crossing)
        except NotKnown as bad:
            self.refuse(crossing, "no-rule", str(bad), "", held)
            return self.nothing(crossing)
        if isinstance(aim, Split) and held.type in WHOLE and crossing.name.startswith("input"):
            self.cut[crossing.number] = aim.dim
        dim = aim.dim if isinstance(aim, Split) else cut_dim(held.type)
        # What stands in several places is brought over once.
        done = any(move.enters == enters and move.number == crossing.number for move in self.moves)
        for kind, direction in ((cost.forward, "forward"), (cost.backward, "backward")):
            if kind is not None and not done:
                said = (self.module, kind, direction, info.shape, info.dtype, info.bytes)
                self.moves.append(Move(*said, self.placed, crossing.name, crossing.number, dim))
        return Held(aim, origin, copied=held.copied or aim is not held.type)

    def pass_as_said(self, crossing: Crossing, aim: Type, info: TensorInfo) -> None:
        """What would be done to a value that is not what the plan says, or not known: what it says. Of
        use to those who run plans that are not proved."""
        if crossing.before is None:
            return
        with suppress(Refused, NotKnown):
            said = target(crossing.before, info.shape, self.ranks, INVARIANT if info.grad else CONSTANT)
            enters = crossing.name.startswith("input")
            self.passages.append(Passage(self.module, enters, crossing.place, said, aim))

    def nothing(self, crossing: Crossing) -> Held:
        """What comes of a change that nobody can make."""
        enters = crossing.name.startswith("input")
        self.passages.append(Passage(self.module, enters, crossing.place, UNKNOWN, UNKNOWN))
        return _UNKNOWN

    def add_late(self, bound: Bound, results: list[Held], function: Function) -> None:
        """A bias that is added after the sum."""
        types = self.frame.prover.weights.of(bound)
        late = [name for name, kind in types.items() if kind is LATE]
        if not late or not function.returned:
            return
        kind = results[0].type
        if kind is PARTIAL:
            said = ("its bias would be added on every rank, and summed with the rest",
                    "the sum taken here, or a module without a bias")  # fmt: skip
            self.faults.append(
                Fault("partial", "output", *said, self.placed, "output", None, None, self.module)
            )
            results[0] = _UNKNOWN
            return
        for name in late:
            info = bound.module.parameters[name]
            if info.grad and isinstance(kind, Split):
                self.frame.out.sums[joined(self.module, name)] = (info, self.placed)
            elif info.grad:
                self.frame.out.whole[joined(self.module, name)] = self.placed

    def refuse(self, crossing: Crossing, law: str, got: str, needed: str, held: Held) -> None:
        said = (law, crossing.name, got, needed, self.placed, crossing.field, held.origin, None, self.module)
        self.faults.append(Fault(*said))


def _grouped(crossings: list[Crossing]) -> dict[int, list[Crossing]]:
    groups: dict[int, list[Crossing]] = {}
    for crossing in crossings:
        groups.setdefault(crossing.number, []).append(crossing)
    return groups


def _arrives(kind: Type, layout: Any, ndim: int) -> bool:
    if isinstance(kind, Packed):
        return is_as_declared(Split(kind.dim), layout, ndim)
    return is_as_declared(kind, layout, ndim)
