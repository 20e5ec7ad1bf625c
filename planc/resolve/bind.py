"""Patterns against modules, each once. Modules of one definition that stand at one place
of the patterns are one `Bound`: a model of 126 equal layers has one bound layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from planc.ir.graph import ModelGraph, ModuleDef
from planc.ir.record import Record
from planc.ir.settled import Placed, Settled
from planc.matching import Matcher, State

Tag = tuple[int, int, int]
"""A pattern: its block, the entry there, the pattern of the entry."""


class Clash(Record):
    """Two entries of one block for one module, neither of which gives way."""

    block: int
    first: int
    second: int


class Bound:
    """Modules of one definition with the same entries, here and below; compared by identity."""

    __slots__ = ("children", "clashes", "definition", "entries", "module")

    def __init__(
        self,
        definition: int,
        module: ModuleDef,
        entries: Mapping[int, int],
        clashes: tuple[Clash, ...],
        children: Mapping[str, Bound],
    ) -> None:
        self.definition = definition
        self.module = module
        self.entries = entries
        """The entry of each block that speaks of it: block number to entry number."""
        self.clashes = clashes
        self.children = children

    def below(self, name: str) -> Bound | None:
        """The module with a dotted name below this one."""
        here: Bound | None = self
        for part in name.split(".") if name else ():
            if here is None:
                return None
            here = here.children.get(part)
        return here

    def walk(self, name: str = "") -> Iterator[tuple[str, Bound]]:
        """Every module here and below with its dotted name, in the order of the model."""
        yield name, self
        for own, child in self.children.items():
            yield from child.walk(f"{name}.{own}" if name else own)


class Binding(Record):
    """A plan bound to a graph."""

    settled: Settled
    graph: ModelGraph
    root: Bound
    matched: frozenset[Tag]
    """Patterns that match a module."""

    def entry(self, bound: Bound, block: int) -> Placed | None:
        """What a block says of a module."""
        number = bound.entries.get(block)
        return None if number is None else self.settled.blocks[block].entries[number]

    def modules_of(self, block: int, entry: int) -> list[str]:
        """The names of the modules that an entry governs."""
        return [name for name, bound in self.root.walk() if bound.entries.get(block) == entry]


def bind(settled: Settled, graph: ModelGraph) -> Binding:
    """Match every pattern of a plan against the modules of a model."""
    matcher = Matcher()
    for b, block in enumerate(settled.blocks):
        for e, entry in enumerate(block.entries):
            for p, pattern in enumerate(patterns(entry.value)):
                for names in pattern.alternatives():
                    matcher.add(names, ((b, e, p), pattern.class_name))
    binder = _Binder(settled, graph)
    root = binder.bound(graph.root, matcher.start())
    return Binding(settled, graph, root, frozenset(binder.matched))


def patterns(entry: Any) -> tuple[Any, ...]:
    """The patterns of a rule, a unit or a region."""
    found: tuple[Any, ...] = entry.patterns if hasattr(entry, "patterns") else (entry.pattern,)
    return found


class _Binder:
    def __init__(self, settled: Settled, graph: ModelGraph) -> None:
        self.blocks, self.graph = settled.blocks, graph
        self.matched: set[Tag] = set()
        self.known: dict[Any, Bound] = {}

    def bound(self, definition: int, state: State) -> Bound:
        key = (definition, state.key)
        found = self.known.get(key)
        if found is None:
            module = self.graph.modules[definition]
            entries, clashes = self._entries(module, state)
            children = {name: self.bound(child, state.after(name)) for name, child in module.children.items()}
            found = self.known[key] = Bound(definition, module, entries, clashes, children)
        return found

    def _entries(self, module: ModuleDef, state: State) -> tuple[dict[int, int], tuple[Clash, ...]]:
        met: dict[int, set[int]] = {}
        for tag, class_name in state.tags:
            if class_name is None or class_name == module.class_name or class_name in module.bases:
                self.matched.add(tag)
                met.setdefault(tag[0], set()).add(tag[1])
        entries: dict[int, int] = {}
        clashes: list[Clash] = []
        for block, numbers in met.items():
            *earlier, last = sorted(numbers)
            entries[block] = last
            if earlier and not self.blocks[block].entries[last].value.override:
                clashes.append(Clash(block, earlier[-1], last))
        return entries, tuple(clashes)
