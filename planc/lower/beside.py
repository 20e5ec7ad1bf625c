"""Which products run beside the gather of what they take.

Where a module's boundary gathers a tensor that goes, as it is, into linear layers below, their products of the rank's own
slice need not wait for the others. The graph says which layers these are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from planc.ir.graph import Call, Function, ModelGraph, Value
from planc.ir.lowered import Beside, LoweredModule, Part, Pass
from planc.layouts.outcome import joined


def beside(
    graph: ModelGraph, told: Mapping[str, LoweredModule], apart: Collection[str], units: Collection[str]
) -> dict[str, tuple[Beside, ...]]:
    """What runs beside the gathers of each module, by its name.

    Args:
        apart: modules that are recomputed or compiled by themselves: what is inside runs without what is outside.
        units: modules whose parameters are whole only while they run.
    """
    found: dict[str, dict[Pass, tuple[str, ...]]] = {}

    def visit(function: Function, path: str) -> None:
        for step in function.steps:
            if not isinstance(step, Call):
                continue
            name = joined(path, step.module)
            inner = graph.functions[step.function]
            for said in told[name].inputs if name in told and name not in apart else ():
                if said.before.kind == "shard" and said.after.kind == "replicated":
                    takers = dict.fromkeys(_takers(graph, step, inner, said, name))
                    these = tuple(
                        own
                        for own in takers
                        if _fits(told, name, own) and not _between(name, own, apart, units)
                    )
                    known = found.setdefault(name, {}).setdefault(said, these)
                    found[name][said] = tuple(own for own in known if own in these)
            visit(inner, name)

    visit(graph.main, "")
    return {
        name: rows
        for name, passes in found.items()
        if (rows := tuple(Beside(said.place, these) for said, these in passes.items() if these))
    }


def _takers(graph: ModelGraph, call: Call, inner: Function, said: Pass, name: str) -> list[str]:
    """The linear layers that are handed an argument of a call and nothing else, by their names below it."""
    if len(said.place) != 1:
        return []
    if _is_linear(graph, name):
        return [""]
    step = said.place[0]
    if isinstance(step, str):
        handed = call.keywords.get(step)
    else:
        handed = call.arguments[step] if step < len(call.arguments) else None
    if not isinstance(handed, Value):
        return []
    own = Value(call.handed.index(handed.number))
    return [
        each.module
        for each in inner.steps
        if isinstance(each, Call)
        and (each.arguments, dict(each.keywords)) == ((own,), {})
        and not each.module.startswith("/")
        and _is_linear(graph, joined(name, each.module))
    ]


def _is_linear(graph: ModelGraph, name: str) -> bool:
    return name in graph.names and graph.names[name].class_name == "Linear"


def _fits(told: Mapping[str, LoweredModule], name: str, own: str) -> bool:
    """Whether a layer's results are cut, and nothing else is done at its own inputs."""
    layer = told.get(joined(name, own))
    if layer is None or (own and layer.inputs):
        return False
    weight = layer.parameters.get("weight", Part(None))
    return weight.dim == 0 and not any(part.late for part in layer.parameters.values())


def _between(name: str, own: str, apart: Collection[str], units: Collection[str]) -> bool:
    """Whether something stands between a module and a layer in it that the layer must not be taken out of."""
    if not own:
        return False
    parts = own.split(".")
    below = (joined(name, ".".join(parts[:count])) for count in range(1, len(parts) + 1))
    return any(each in apart or each in units for each in below)
