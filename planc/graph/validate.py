"""Checks between the parts of a graph: each name leads somewhere, and no size is larger than that of any model."""

from __future__ import annotations

from planc.graph.codec import GraphFormatError, shortened
from planc.ir.graph import ARGUMENT_NODES, Call, ModelGraph, WeightRef
from planc.ir.tree import leaves

MAX_MODULES = 500_000
"""The most modules and parameters, each repetition counted."""
MAX_STEPS = 20_000_000
"""The most steps of the model, each repetition counted."""
MAX_NESTING = 100
"""The most modules around a module, or functions around a function."""


def validate_graph(graph: ModelGraph) -> None:
    """Refuse a graph whose parts contradict each other.

    Raises:
        GraphFormatError: they do.
    """
    _check_size(
        [[1 + len(m.parameters) + len(m.buffers), *m.children.values()] for m in graph.modules],
        MAX_MODULES,
        "modules",
    )
    _check_size(
        [[1 + len(f.steps), *(s.function for s in f.steps if isinstance(s, Call))] for f in graph.functions],
        MAX_STEPS,
        "operations",
    )
    if len(graph.inputs) != graph.main_function.inputs:
        raise GraphFormatError("the model takes other inputs than it was called with")
    for definition in graph.modules:
        for name in (*definition.children, *definition.parameters, *definition.buffers):
            if not name or "." in name or "/" in name or len(name) > 200:
                raise GraphFormatError(f"not a name of a module or a parameter: {shortened(name)}")
    _NameChecker(graph).visit(graph.root_definition, len(graph.functions) - 1)
    parameters = graph.parameters if graph.ties else {}
    for name in {name for tie in graph.ties for name in tie}:
        if name not in parameters:
            raise GraphFormatError(f"a tie names a parameter that does not exist: {shortened(name)}")


def _check_size(definitions: list[list[int]], limit: int, noun: str) -> None:
    """Refuse definitions that multiply beyond any model.

    Args:
        definitions: of each, its own size, then the numbers of the definitions that it contains.
        limit: the largest total size.
        noun: what is counted, in the plural.
    """
    sizes: list[int] = []
    depths: list[int] = []
    for own, *inner in definitions:
        sizes.append(own + sum(sizes[part] for part in inner))
        depths.append(1 + max((depths[part] for part in inner), default=0))
        if sizes[-1] > limit:
            raise GraphFormatError(f"this graph has more than {limit:,} {noun}")
        if depths[-1] > MAX_NESTING:
            raise GraphFormatError(f"{noun} are nested more than {MAX_NESTING} deep")


class _NameChecker:
    """Follows the calls from the model down, and looks up every name in them."""

    def __init__(self, graph: ModelGraph) -> None:
        self.graph = graph
        self.visited: set[tuple[int, int]] = set()

    def visit(self, module: int, function: int) -> None:
        """Check a function as a module of that definition calls it."""
        if (module, function) in self.visited:
            return
        self.visited.add((module, function))
        for step in self.graph.functions[function].steps:
            for weight in leaves((step.arguments, step.keywords), WeightRef, into=ARGUMENT_NODES):
                self._check_weight(module, weight.name)
            if isinstance(step, Call):
                self.visit(self._definition_at(module, step.module), step.function)

    def _check_weight(self, module: int, name: str) -> None:
        path, _, own = name.rpartition(".")
        if name.startswith("/") and not path:
            path, own = "/", name[1:]
        owner = self.graph.modules[self._definition_at(module, path)]
        if own not in owner.parameters and own not in owner.buffers:
            raise GraphFormatError(f"there is no weight {shortened(name)}")

    def _definition_at(self, module: int, path: str) -> int:
        """The number of the definition at a path below a module, or below the model where the path begins with `/`."""
        if path.startswith("/"):
            module, path = self.graph.root_definition, path[1:]
        for name in path.split(".") if path else ():
            children = self.graph.modules[module].children
            if name not in children:
                raise GraphFormatError(f"there is no module {shortened(path)}")
            module = children[name]
        return module
