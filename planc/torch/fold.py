"""Folds a recorded run into functions, so that what repeats is stored once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from planc.graphs.write import function_form
from planc.ir.graph import Call, Function, Number, Op, Slice, TensorInfo, Value, Weight, distinct
from planc.torch.names import Names
from planc.torch.tree import Frame, Step, Tensors, numbers


@dataclass
class _Folded:
    """One call, as its caller needs it."""

    function: int
    outer: list[int]
    """The tensors that it uses by other ways than being handed them."""
    results: list[tuple[int, int | None]]
    """The tensors that it gives, and the numbers by which its caller knows them; None: it knows
    them by another way."""


class Folder:
    """Turns calls into functions, innermost first."""

    def __init__(self, tensors: Tensors, names: Names) -> None:
        self.tensors, self.names = tensors, names
        self.functions: list[Function] = []
        self._known: dict[str, int] = {}
        self._users: dict[int, tuple[int, int]] = {}
        """The first and the last call that uses a tensor."""

    def fold(self, root: Frame) -> tuple[Function, ...]:
        """The functions of a run; the last one is the whole of it."""
        self._meet(root)
        self._folded(root)
        return tuple(self.functions)

    def _meet(self, frame: Frame) -> None:
        for step in frame.steps:
            self._use(frame, (step.arguments, step.keywords))
            if isinstance(step, Frame):
                self._meet(step)
        self._use(frame, frame.result)

    def _use(self, frame: Frame, item: Any) -> None:
        for number in numbers(item):
            first, last = self._users.get(number, (frame.number, frame.number))
            self._users[number] = min(first, frame.number), max(last, frame.number)

    def _folded(self, frame: Frame) -> _Folded:
        inner = {step.number: self._folded(step) for step in frame.steps if isinstance(step, Frame)}
        inputs = self._inputs(frame)
        known = {own for _, own in inputs}
        used: dict[int, None] = {}
        for step in frame.steps:
            used |= dict.fromkeys(numbers((step.arguments, step.keywords)))
            if isinstance(step, Frame):
                used |= dict.fromkeys(inner[step.number].outer)
        used |= dict.fromkeys(numbers(frame.result))
        makers = self.tensors.makers
        outer = [n for n in used if n not in known and not frame.holds(makers[n])]
        # That code could reach them otherwise is said, whether it does so or not.
        outer += [n for n in frame.held_by_others if n not in outer]
        returned = distinct(frame.result)
        made = [n for n in self._made(frame, inner) if self._is_used_outside(frame, n)]
        later = list(dict.fromkeys((*made, *frame.kept_by_others)))
        body = _Body(self, frame, [*inputs, *((n, n) for n in outer)])
        for step in frame.steps:
            if isinstance(step, Step):
                body.op(step)
            else:
                body.call(step, inner[step.number])
        function = self._stored(body.function([*returned, *later]))
        results = [(n, frame.given.get(n)) for n in returned]
        return _Folded(function, outer, [*results, *((n, n) for n in later)])

    def _inputs(self, frame: Frame) -> list[tuple[int, int | None]]:
        """What a call is handed: the numbers of the caller, and those that the code in it knows."""
        handed = distinct((frame.arguments, frame.keywords))
        if frame.number == 0:
            return [(n, n) for n in handed]
        return [(n, frame.entered.get(n)) for n in handed]

    def _made(self, frame: Frame, inner: Mapping[int, _Folded]) -> list[int]:
        """The tensors that a call made, or has under a number of its own, or that calls in it gave."""
        made = list(frame.entered.values())
        for step in frame.steps:
            if isinstance(step, Step):
                made += step.results
            else:
                made += [n for _, n in inner[step.number].results if n is not None]
        return [n for n in dict.fromkeys(made) if frame.holds(self.tensors.makers[n])]

    def _is_used_outside(self, frame: Frame, number: int) -> bool:
        first, last = self._users.get(number, (frame.number, frame.number))
        return not (frame.holds(first) and frame.holds(last))

    def _stored(self, function: Function) -> int:
        key = json.dumps(function_form(function))
        if key not in self._known:
            self._known[key] = len(self.functions)
            self.functions.append(function)
        return self._known[key]


class _Body:
    """The function of one call while it is put together: its tensors are numbered anew."""

    def __init__(self, folder: Folder, frame: Frame, inputs: Iterable[tuple[int, int | None]]) -> None:
        self.folder, self.frame = folder, frame
        self.local: dict[int, int] = {}
        self.infos: list[TensorInfo] = []
        self.inputs = len(self._results(inputs))
        self.steps: list[Op | Call] = []
        self.notes: set[str] = set()

    def op(self, step: Step) -> None:
        said = self.renamed(step.arguments), self.renamed(step.keywords)
        if step.name.startswith("number."):
            # Numbers do not change: saying it once is enough.
            key = f"{step.name} {said[0]!r}"
            if key in self.notes:
                return
            self.notes.add(key)
        self.steps.append(Op(step.name, *said, self._results((n, n) for n in step.results)))

    def call(self, step: Frame, inner: _Folded) -> None:
        said = self.renamed(step.arguments), self.renamed(step.keywords)
        used = tuple([self.local[number] for number in inner.outer])
        path = self.folder.names.module(step.module, self.frame.module)
        self.steps.append(Call(path, inner.function, *said, used, self._results(inner.results)))

    def _results(self, made: Iterable[tuple[int, int | None]]) -> tuple[int, ...]:
        """Number what a step gives: what it is, and the number under which this call knows it."""
        first = len(self.infos)
        for inside, here in made:
            if here is not None:
                self.local[here] = len(self.infos)
            self.infos.append(self.folder.tensors.infos[inside])
        return tuple(range(first, len(self.infos)))

    def function(self, exports: list[int]) -> Function:
        given = tuple([self.local[number] for number in exports])
        result = self.renamed(self.frame.result)
        return Function(self.inputs, tuple(self.infos), tuple(self.steps), result, given)

    def renamed(self, item: Any) -> Any:
        """Arguments with the numbers and names of this function."""
        if isinstance(item, Value):
            return Value(self.local[item.number])
        if isinstance(item, Weight):
            return Weight(self.folder.names.weight(item.name, self.frame.module))
        if isinstance(item, Number):
            if item.op == "attribute":
                name = self.folder.names.attribute(item.arguments[0], self.frame.module)
                return Number("attribute", (name,), item.captured)
            return Number(item.op, self.renamed(item.arguments), item.captured)
        if isinstance(item, Slice):
            return Slice(*(self.renamed(part) for part in (item.start, item.stop, item.step)))
        if isinstance(item, tuple):
            return tuple([self.renamed(part) for part in item])
        if isinstance(item, Mapping):
            return {key: self.renamed(value) for key, value in item.items()}
        return item
