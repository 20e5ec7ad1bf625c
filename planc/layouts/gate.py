"""The boundary of one call of a module: its inputs are brought to what it takes, its results
to what they are outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from planc.ir.graph import Call, Function, TensorInfo
from planc.ir.settled import Placed
from planc.layouts.boundary import change, is_as_declared, target
from planc.layouts.operation import NotKnown, Refused
from planc.layouts.outcome import Fault, Held, Move, Origin, joined
from planc.layouts.ports import Crossing, handed
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
        self.handed = list(handed(call))
        self.path = joined(frame.path, module)
        self.ranks = frame.prover.ranks
        self.faults: list[Fault] = []
        self.moves: list[Move] = []
        self.cut: dict[int, int] = {}
        """Whole tensors of which a slice is taken at an input, and the dim."""
        self.chose = False
        """Whether «replicate» could have meant either of its two types."""

    def enter(self, crossings: list[Crossing], numbers: Sequence[int], whole: Type) -> list[Held]:
        """The types inside of the module."""
        held = {number: self.frame.held[number] for number in numbers}
        for number, ports in _grouped(crossings).items():
            before, info = held.get(number), self.frame.function.tensors[number]
            if before is None:
                continue
            after = [self.cross(crossing, before, info, whole) for crossing in ports]
            changed = {place: kind.type for place, kind in zip((c.place for c in ports), after, strict=True)}
            every = [changed.get(place, before.type) for place, other in self.handed if other == number]
            held[number] = after[0]
            if any(kind is not after[0].type for kind in every):
                # One tensor in the graph, several in the split model: which is used where, none can tell.
                self.refuse(ports[0], "no-rule", "it is handed this value in several places, "
                            "and the plan brings them to different layouts", "", before)  # fmt: skip
                held[number] = _UNKNOWN
        return [held[number] for number in numbers]

    def leave(self, crossings: list[Crossing], results: dict[int, Held], infos: Sequence[TensorInfo]) -> None:
        """Bring the results to what they are outside."""
        for crossing in crossings:
            before = results.get(crossing.number)
            if before is not None:
                whole = REPLICATED if before.type is REPLICATED else INVARIANT
                results[crossing.number] = self.cross(crossing, before, infos[crossing.number], whole)

    def cross(self, crossing: Crossing, held: Held, info: TensorInfo, whole: Type) -> Held:
        origin = Origin(self.path, self.placed)
        try:
            aim = target(crossing.after, info.shape, self.ranks, whole if info.grad else CONSTANT)
            if aim in WHOLE and held.type not in (REPLICATED, CONSTANT):
                self.chose = self.chose or info.grad
            if held.type is UNKNOWN:
                return Held(aim, origin)  # its fault is said; go on as if it were right
            if crossing.before is not None and not _arrives(held.type, crossing.before, len(info.shape)):
                self.refuse(
                    crossing, "arrives", f"{held.type} arrives", f"{crossing.before}, as declared", held
                )
                return Held(aim, origin)
            if isinstance(held.type, Packed) and isinstance(aim, Split) and held.type.dim == aim.dim:
                return held
            if aim in WHOLE and held.type in (CONSTANT, REPLICATED):
                return held
            cost = change(held.type, aim, grad=info.grad)
        except Refused as bad:
            self.refuse(crossing, bad.law, bad.got, bad.needed, held)
            return _UNKNOWN
        except NotKnown as bad:
            self.refuse(crossing, "no-rule", str(bad), "", held)
            return _UNKNOWN
        if isinstance(aim, Split) and held.type in WHOLE and crossing.name.startswith("input"):
            self.cut[crossing.number] = aim.dim
        dim = aim.dim if isinstance(aim, Split) else cut_dim(held.type)
        for kind, direction in ((cost.forward, "forward"), (cost.backward, "backward")):
            if kind is not None:
                said = (self.module, kind, direction, info.shape, info.dtype, info.bytes)
                self.moves.append(Move(*said, self.placed, crossing.name, crossing.number, dim))
        return Held(aim, origin)

    def add_late(self, bound: Bound, results: dict[int, Held], function: Function) -> None:
        """A bias that is added after the sum."""
        types = self.frame.prover.weights.of(bound)
        late = [name for name, kind in types.items() if kind is LATE]
        first = next(iter(function.exports), None)
        if not late or first is None:
            return
        kind = results[first].type
        if kind is PARTIAL:
            said = ("its bias would be added on every rank, and summed with the rest",
                    "the sum taken here, or a module without a bias")  # fmt: skip
            self.faults.append(
                Fault("partial", "output", *said, self.placed, "output", None, None, self.module)
            )
            results[first] = _UNKNOWN
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
