"""Folds a recorded run into functions, so that what repeats is stored once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from planc.graphs.write import function_form
from planc.ir.graph import Call, Function, Number, Op, Slice, Value, Weight
from planc.torch.names import Names
from planc.torch.tree import Frame, Step, Tensors, numbers


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

    def _folded(self, frame: Frame) -> tuple[int, list[int], list[int]]:
        """The function of a call, the tensors that it uses unhanded, and those that it gives."""
        inner = {step.number: self._folded(step) for step in frame.steps if isinstance(step, Frame)}
        handed = _distinct((frame.arguments, frame.keywords))
        used: dict[int, None] = {}
        for step in frame.steps:
            used |= dict.fromkeys(numbers((step.arguments, step.keywords)))
            if isinstance(step, Frame):
                used |= dict.fromkeys(inner[step.number][1])
        used |= dict.fromkeys(numbers(frame.result))
        makers = self.tensors.makers
        outer = [n for n in used if n not in handed and not frame.holds(makers[n])]
        returned = _distinct(frame.result)
        later = [n for n in self._made(frame, inner) if n not in returned and self._is_used_outside(frame, n)]
        exports = [*returned, *later]
        body = _Body(self, frame, [*handed, *outer])
        for step in frame.steps:
            if isinstance(step, Step):
                body.op(step)
            else:
                body.call(step, *inner[step.number])
        return self._stored(body.function(exports)), outer, exports

    def _made(self, frame: Frame, inner: Mapping[int, tuple[int, list[int], list[int]]]) -> list[int]:
        """The tensors that a call made, or that calls in it gave."""
        made: list[int] = []
        for step in frame.steps:
            if isinstance(step, Step):
                made += step.results
            else:
                made += [step.given.get(n, n) for n in inner[step.number][2]]
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

    def __init__(self, folder: Folder, frame: Frame, inputs: Iterable[int]) -> None:
        self.folder, self.frame = folder, frame
        self.local = {number: place for place, number in enumerate(inputs)}
        self.inputs = len(self.local)
        self.infos = [folder.tensors.infos[number] for number in self.local]
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
        self.steps.append(Op(step.name, *said, self._results(step.results)))

    def call(self, step: Frame, function: int, outer: list[int], exports: list[int]) -> None:
        said = self.renamed(step.arguments), self.renamed(step.keywords)
        used = tuple([self.local[number] for number in outer])
        given = self._results([step.given.get(number, number) for number in exports])
        path = self.folder.names.module(step.module, self.frame.module)
        self.steps.append(Call(path, function, *said, used, given))

    def _results(self, made: list[int]) -> tuple[int, ...]:
        results = tuple(range(len(self.infos), len(self.infos) + len(made)))
        self.infos += [self.folder.tensors.infos[number] for number in made]
        # A tensor that a call hands back as it came has, from there on, its number behind the call.
        self.local.update(zip(made, results))
        return results

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


def _distinct(item: Any) -> dict[int, None]:
    return dict.fromkeys(numbers(item))
