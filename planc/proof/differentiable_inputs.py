"""A model whose inputs need gradients: which of its tensors then have one, and the proof of that.

A graph says what a run without such inputs showed. What comes before the model may need a gradient all the same:
an embedding that the caller owns, another part of a larger model. Where a tensor's gradient is not known, it counts
as needed, which only asks more of a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from planc.bind.binding import Binding
from planc.ir.graph import INDEX_NODES, Call, Function, ModelGraph, Op, Value
from planc.ir.tree import leaves
from planc.proof.model_outputs import find_logits
from planc.proof.prove import prove_tensor_axes
from planc.proof.result import Proof


def prove_with_input_gradients(binding: Binding, proof: Proof) -> tuple[Binding, Proof, frozenset[int]]:
    """Prove a proved plan once more, for inputs that need a gradient.

    A boundary that sums a gradient does nothing where there is none: such a proof covers both cases.

    Returns:
        The graph with gradients at as many inputs as the plan allows, bound and proved; and the numbers of the
        inputs that must have none.
    """
    main = binding.graph.main_function
    asked = [i for i, info in enumerate(main.tensors[: main.inputs]) if info.is_floating and not info.grad]
    if not asked or _has_violations(proof):
        return binding, proof, frozenset(asked)
    best, refused = (binding, proof), frozenset(asked)
    candidates = [asked, *([number] for number in asked)] if len(asked) > 1 else [asked]
    for numbers in candidates:
        if refused.isdisjoint(numbers):
            continue
        graph = mark_gradients(binding.graph, (*(n for n in asked if n not in refused), *numbers))
        bound = binding.with_(graph=graph)
        proved = prove_tensor_axes(bound, proof)
        if not _has_violations(proved) and _logits_path(graph) == _logits_path(binding.graph):
            best, refused = (bound, proved), refused.difference(numbers)
    return *best, refused


def _has_violations(proof: Proof) -> bool:
    return any(each.violations for axis in proof.axes for each in axis.analysis.distinct_analyses())


def _logits_path(graph: ModelGraph) -> object:
    found = find_logits(graph.main_function)
    return None if found is None else found[0]


def mark_gradients(graph: ModelGraph, inputs: Iterable[int]) -> ModelGraph:
    """The graph of a model whose inputs of these numbers need a gradient."""
    marker = _Marker(graph)
    marker.mark(len(graph.functions) - 1, frozenset(inputs))
    return graph.with_(functions=tuple(marker.functions))


class _Marker:
    """Adds functions to those of a graph: one for each set of inputs that newly need a gradient."""

    def __init__(self, graph: ModelGraph) -> None:
        self.functions = list(graph.functions)
        self._marked: dict[tuple[int, frozenset[int]], tuple[int, frozenset[int]]] = {}

    def mark(self, number: int, inputs: frozenset[int]) -> tuple[int, frozenset[int]]:
        """The number of a function with gradients at some inputs, and which of its exports newly have one."""
        if not inputs:
            return number, inputs
        key = (number, inputs)
        if key not in self._marked:
            self._marked[key] = self._mark(self.functions[number], inputs)
        return self._marked[key]

    def _mark(self, function: Function, inputs: frozenset[int]) -> tuple[int, frozenset[int]]:
        marked, steps = set(inputs), list[Op | Call]()
        for step in function.steps:
            if isinstance(step, Op):
                if not marked.isdisjoint(_operands(step)) and _passes_gradient(function, step):
                    marked.update(n for n in step.results if function.tensors[n].is_floating)
                steps.append(step)
                continue
            passed = (*step.argument_tensors, *step.free_tensors)
            called, exports = self.mark(
                step.function, frozenset(i for i, n in enumerate(passed) if n in marked)
            )
            marked.update(n for i, n in enumerate(step.results) if i in exports)
            steps.append(step.with_(function=called))
        tensors = tuple(
            info.with_(grad=True) if number in marked else info
            for number, info in enumerate(function.tensors)
        )
        self.functions.append(function.with_(tensors=tensors, steps=tuple(steps)))
        newly = [i for i, n in enumerate(function.exports) if n in marked and not function.tensors[n].grad]
        return len(self.functions) - 1, frozenset(newly)


def _operands(step: Op) -> Sequence[int]:
    return [value.number for value in leaves((step.arguments, step.keywords), Value, into=INDEX_NODES)]


def _passes_gradient(function: Function, step: Op) -> bool:
    """Whether the results of an operation have a gradient if an operand has one."""
    had = any(function.tensors[number].grad for number in _operands(step))
    # The run showed an operand with a gradient: then it also showed whether that ends here, as under `no_grad`.
    return not had or any(function.tensors[number].grad for number in step.results)
