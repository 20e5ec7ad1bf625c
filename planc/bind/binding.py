"""Patterns matched against modules, each once.

Modules of one definition that match the same patterns, here and below, are one `BoundModule`: a model of
126 equal layers has one bound layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from planc.bind.pattern_matcher import MatchState, PatternMatcher
from planc.ir.graph import ModelGraph, ModuleDef
from planc.ir.record import Record
from planc.ir.resolved import Located, Resolved

PatternId = tuple[int, int, int]
"""A pattern: the number of its block, of its entry there, and its own number in the entry."""


ACCEPTS = -1
"""In the place of the number of a block: the patterns of `accept`."""


class EntryConflict(Record):
    """Two entries of one block that match one module, and no `override` says which one applies."""

    block: int
    first: int
    second: int


class BoundModule:
    """Modules of one definition with the same entries, here and below; compared by identity."""

    __slots__ = ("accepts", "children", "conflicts", "definition", "entries", "module")

    def __init__(
        self,
        definition: int,
        module: ModuleDef,
        entries: Mapping[int, int],
        conflicts: tuple[EntryConflict, ...],
        children: Mapping[str, BoundModule],
        accepts: tuple[int, ...] = (),
    ) -> None:
        self.definition = definition
        self.module = module
        self.entries = entries
        """The entry that applies to it in each block: block number to entry number."""
        self.conflicts = conflicts
        self.children = children
        self.accepts = accepts
        """The statements, by number, that accept a violation in its own code."""

    def find_submodule(self, name: str) -> BoundModule | None:
        """The module with a dotted name below this one."""
        module: BoundModule | None = self
        for part in name.split(".") if name else ():
            if module is None:
                return None
            module = module.children.get(part)
        return module

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, BoundModule]]:
        """Every module here and below with its dotted name, in the order of the model."""
        yield prefix, self
        for name, child in self.children.items():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)


class Binding(Record):
    """A plan bound to the modules of a model."""

    resolved: Resolved
    graph: ModelGraph
    root: BoundModule
    matched_patterns: frozenset[PatternId]
    """The patterns that match a module."""

    def entry_for(self, bound: BoundModule, block: int) -> Located | None:
        """The entry of a block that applies to a module."""
        number = bound.entries.get(block)
        return None if number is None else self.resolved.blocks[block].entries[number]

    def module_names(self, block: int, entry: int) -> list[str]:
        """The dotted names of the modules that an entry applies to."""
        return [name for name, bound in self.root.named_modules() if bound.entries.get(block) == entry]


def bind(resolved: Resolved, graph: ModelGraph) -> Binding:
    """Match every pattern of a plan against the modules of a model."""
    matcher = PatternMatcher()
    for b, block in enumerate(resolved.blocks):
        for e, entry in enumerate(block.entries):
            for p, pattern in enumerate(entry_patterns(entry.value)):
                for names in pattern.alternatives():
                    matcher.add(names, ((b, e, p), pattern.class_name))
    for number, accept in enumerate(resolved.accepts):
        for names in accept.value.pattern.alternatives():
            matcher.add(names, ((ACCEPTS, number, 0), accept.value.pattern.class_name))
    binder = _Binder(resolved, graph)
    root = binder.bind_module(graph.root_definition, matcher.start())
    return Binding(resolved, graph, root, frozenset(binder.matched))


def entry_patterns(entry: Any) -> tuple[Any, ...]:
    """The patterns of a rule, a unit or a region."""
    patterns: tuple[Any, ...] = entry.named_patterns
    return patterns


class _Binder:
    def __init__(self, resolved: Resolved, graph: ModelGraph) -> None:
        self.blocks, self.graph = resolved.blocks, graph
        self.matched: set[PatternId] = set()
        self.bound_modules: dict[Any, BoundModule] = {}

    def bind_module(self, definition: int, state: MatchState) -> BoundModule:
        key = (definition, state.key)
        bound = self.bound_modules.get(key)
        if bound is None:
            module = self.graph.modules[definition]
            entries, conflicts, accepts = self._matching_entries(module, state)
            children = {
                name: self.bind_module(child, state.descend(name)) for name, child in module.children.items()
            }
            bound = self.bound_modules[key] = BoundModule(
                definition, module, entries, conflicts, children, accepts
            )
        return bound

    def _matching_entries(
        self, module: ModuleDef, state: MatchState
    ) -> tuple[dict[int, int], tuple[EntryConflict, ...], tuple[int, ...]]:
        """The last entry of each block that matches, the conflicts with those before it, and what accepts its faults."""
        matching: dict[int, set[int]] = {}
        for (block, entry, pattern), class_name in state.tags:
            if class_name is None or class_name == module.class_name or class_name in module.bases:
                self.matched.add((block, entry, pattern))
                matching.setdefault(block, set()).add(entry)
        accepts = tuple(sorted(matching.pop(ACCEPTS, ())))
        entries: dict[int, int] = {}
        conflicts: list[EntryConflict] = []
        for block, numbers in matching.items():
            *earlier, last = sorted(numbers)
            entries[block] = last
            if earlier and not self.blocks[block].entries[last].value.override:
                conflicts.append(EntryConflict(block, earlier[-1], last))
        return entries, tuple(conflicts), accepts
