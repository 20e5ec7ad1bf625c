"""What holds between the parts of a graph: names that lead somewhere, sizes that no model has."""

from __future__ import annotations

from planc.graph.codec import GraphFormatError, shortened
from planc.ir.graph import ARGUMENT_NODES, Call, ModelGraph, ModuleDef, WeightRef
from planc.ir.tree import leaves

MAX_MODULES = 500_000
"""Modules and their parameters, repetitions counted."""
MAX_STEPS = 20_000_000
"""Steps of the model, repetitions counted."""
MAX_NESTING = 100
"""Modules around a module, or functions around a function."""


def validate_graph(graph: ModelGraph) -> None:
    """Refuse a graph whose parts do not fit each other.

    Raises:
        BadGraph: they do not.
    """
    _bound(
        [[1 + len(m.parameters) + len(m.buffers), *m.children.values()] for m in graph.modules],
        MAX_MODULES,
        "modules",
    )
    _bound(
        [[1 + len(f.steps), *(s.function for s in f.steps if isinstance(s, Call))] for f in graph.functions],
        MAX_STEPS,
        "operations",
    )
    if len(graph.inputs) != graph.main_function.inputs:
        raise GraphFormatError("the model takes other inputs than it was called with")
    for definition in graph.modules:
        for name in (*definition.children, *definition.parameters, *definition.buffers):
            if not name or "." in name or "/" in name or len(name) > 200:
                raise GraphFormatError(f"a module is called {shortened(name)}")
    _NameChecker(graph).visit(graph.root_definition, len(graph.functions) - 1)
    every = graph.parameters if graph.ties else {}
    for name in {name for tie in graph.ties for name in tie}:
        if name not in every:
            raise GraphFormatError(f"there is no parameter {shortened(name)} to be tied")


def _bound(parts: list[list[int]], most: int, what: str) -> None:
    """Refuse definitions that multiply beyond any model: a size of its own and parts, each."""
    sizes: list[int] = []
    depths: list[int] = []
    for own, *inner in parts:
        sizes.append(own + sum(sizes[part] for part in inner))
        depths.append(1 + max((depths[part] for part in inner), default=0))
        if sizes[-1] > most:
            raise GraphFormatError(f"this graph has more than {most:,} {what}")
        if depths[-1] > MAX_NESTING:
            raise GraphFormatError(f"{what} are nested more than {MAX_NESTING} deep")


class _NameChecker:
    """Follows the calls from the model down, and looks up every name that they say."""

    def __init__(self, graph: ModelGraph) -> None:
        self.graph = graph
        self.visited: set[tuple[int, int]] = set()

    def visit(self, module: int, function: int) -> None:
        if (module, function) in self.visited:
            return
        self.visited.add((module, function))
        for step in self.graph.functions[function].steps:
            for weight in leaves((step.arguments, step.keywords), WeightRef, into=ARGUMENT_NODES):
                self._weight(module, weight.name)
            if isinstance(step, Call):
                self.visit(self._module(module, step.module), step.function)

    def _weight(self, module: int, name: str) -> None:
        path, _, own = name.rpartition(".")
        if name.startswith("/") and not path:
            path, own = "/", name[1:]
        owner = self.graph.modules[self._module(module, path)]
        if own not in owner.parameters and own not in owner.buffers:
            raise GraphFormatError(f"there is no weight {shortened(name)}")

    def _module(self, module: int, path: str) -> int:
        """The definition at a path below a module, or below the model where it begins with `/`."""
        if path.startswith("/"):
            module, path = self.graph.root_definition, path[1:]
        for name in path.split(".") if path else ():
            children = self._definition(module).children
            if name not in children:
                raise GraphFormatError(f"there is no module {shortened(path)}")
            module = children[name]
        return module

    def _definition(self, number: int) -> ModuleDef:
        return self.graph.modules[number]
