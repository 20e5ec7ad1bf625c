"""What keeps a region from running twice besides memory: state that the graph shows only by what passes around calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planc.bind.binding import Binding, BoundModule
from planc.ir.graph import Call, Function, Op, TorchConstant
from planc.ir.resolved import Located
from planc.proof.regions.causes import OwnGenerator, SecondRunDiffers, SecondRunUnknown
from planc.proof.result import Origin, ProgramPoint, Violation, join_module_path
from planc.proof.unproved import SideEffect
from planc.proof.violations import Cause

_GENERATOR = TorchConstant("Generator")
_STATE = ("attribute.changed", "random", "weight.assigned", "weight.written")
"""What a capture says of changes that no operation of the graph shows."""


def second_run_violations(binding: Binding, blocks: Sequence[int]) -> list[Violation]:
    """Regions that leave something for later code, or find something, and whose second run does something else for it.

    Args:
        binding: the plan and the model.
        blocks: the numbers of the blocks whose entries are regions.
    """
    return list(_SecondRuns(binding, blocks).run())


class _SecondRuns:
    def __init__(self, binding: Binding, blocks: Sequence[int]) -> None:
        self.binding, self.graph, self.blocks = binding, binding.graph, blocks
        self._seen: set[tuple[int, int]] = set()
        self._draws: dict[int, str] = {}

    def run(self) -> Iterator[Violation]:
        root = self.binding.root
        main = self.graph.main_function
        for entry in self._entries(root):
            yield from self._judge("", entry, None, main)
        yield from self._visit("", main, root)

    def _visit(self, path: str, function: Function, bound: BoundModule) -> Iterator[Violation]:
        """The violations of the regions that a function calls. Equal calls are looked at once."""
        for step in function.steps:
            if not isinstance(step, Call):
                continue
            start = self.binding.root if step.module.startswith("/") else bound
            child = start.find_submodule(step.module.removeprefix("/"))
            if child is None or (step.function, id(child)) in self._seen:
                continue
            self._seen.add((step.function, id(child)))
            name, callee = join_module_path(path, step.module), self.graph.functions[step.function]
            for entry in self._entries(child):
                yield from self._judge(name, entry, step, callee)
            yield from self._visit(name, callee, child)

    def _entries(self, bound: BoundModule) -> list[Located]:
        entries = (self.binding.entry_for(bound, block) for block in self.blocks)
        return [entry for entry in entries if entry is not None]

    def _judge(self, path: str, entry: Located, step: Call | None, function: Function) -> Iterator[Violation]:
        if step is not None:
            difference = self.graph.second_runs.get(step.function)
            is_hidden = bool(step.found_tensors or function.left_tensors)
            if difference:
                yield _violation(path, entry, SecondRunDiffers(), difference)
            elif difference is None and is_hidden:
                yield _violation(path, entry, SecondRunUnknown(), "")
        if operation := self._own_draw(function):
            yield _violation(path, entry, OwnGenerator(), operation)

    def _own_draw(self, function: Function) -> str:
        """An operation of a function, or of one that it calls, that draws from a generator of its own; ''."""
        if id(function) not in self._draws:
            self._draws[id(function)] = ""
            found = [
                self._own_draw(self.graph.functions[step.function])
                if isinstance(step, Call)
                else step.name * (step.keywords.get("generator") == _GENERATOR)
                for step in function.steps
            ]
            self._draws[id(function)] = next(filter(None, found), "")
        return self._draws[id(function)]


def _violation(path: str, entry: Located, cause: Cause, operation: str) -> Violation:
    point = ProgramPoint("operation", operation) if operation else ProgramPoint("call", path)
    return Violation(cause, point, None, origin=Origin("", entry), module=path)


def state_violations(binding: Binding, blocks: Sequence[int]) -> Iterator[Violation]:
    """State that the pass changes, and that a region may read: the graph does not show who does."""
    entries = [entry for block in blocks for entry in binding.resolved.blocks[block].entries]
    for step in binding.graph.main_function.steps if entries else ():
        if isinstance(step, Op) and step.name in _STATE:
            yield _violation("", entries[0], SideEffect(step.name), step.name)
