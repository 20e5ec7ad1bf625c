"""Which products run beside the gather of what they take.

Where a module's boundary gathers a tensor that goes, as it is, into linear layers below, their products of the rank's own
slice need not wait for the others. The graph says which layers these are.
"""

from __future__ import annotations

from collections.abc import Mapping

from planc.ir.graph import Call, Function, ModelGraph, Op, Value, distinct_tensors
from planc.ir.lowered import LoweredChange, LoweredModule, LoweredParam, OverlappedGather
from planc.ir.record import Record
from planc.proof.result import join_module_path


class WrappedModules(Record):
    """The modules that something is done to as one."""

    recomputed: frozenset[str] = frozenset()
    """What is inside runs again without what is outside."""
    compiled: frozenset[str] = frozenset()
    """A compiler orders what is inside."""
    fsdp_units: frozenset[str] = frozenset()
    """Their parameters are whole only while they run."""


def overlapped_gathers(
    graph: ModelGraph, lowered: Mapping[str, LoweredModule], wrapped: WrappedModules
) -> dict[str, tuple[OverlappedGather, ...]]:
    """What runs beside the gathers of each module, by its name."""
    found: dict[str, dict[LoweredChange, tuple[str, ...]]] = {}

    def visit(function: Function, path: str) -> None:
        for step in function.steps:
            if not isinstance(step, Call):
                continue
            name = join_module_path(path, step.module)
            inner = graph.functions[step.function]
            for said in lowered[name].inputs if name in lowered and not _closed(name, wrapped) else ():
                if said.before.kind == "shard" and said.after.kind == "replicated":
                    takers = dict.fromkeys(_takers(graph, step, inner, said, name))
                    these = tuple(
                        own
                        for own in takers
                        if _fits(lowered, name, own) and not _between(name, own, wrapped)
                    )
                    known = found.setdefault(name, {}).setdefault(said, these)
                    found[name][said] = tuple(own for own in known if own in these)
            visit(inner, name)

    visit(graph.main_function, "")
    return {
        name: rows
        for name, passes in found.items()
        if (rows := tuple(OverlappedGather(said.path, these) for said, these in passes.items() if these))
    }


def _takers(graph: ModelGraph, call: Call, inner: Function, said: LoweredChange, name: str) -> list[str]:
    """The linear layers that are handed an argument of a call and nothing else, by their names below it."""
    if len(said.path) != 1:
        return []
    if _is_linear(graph, name):
        return [""]
    step = said.path[0]
    if isinstance(step, str):
        handed = call.keywords.get(step)
    else:
        handed = call.arguments[step] if step < len(call.arguments) else None
    if not isinstance(handed, Value):
        return []
    own = Value(call.argument_tensors.index(handed.number))
    return _only(graph, inner, own, name)


def _only(graph: ModelGraph, function: Function, own: Value, name: str) -> list[str]:
    """The layers that take a tensor; none where anything else takes it, too: its gradient comes from them alone."""
    found = []
    if own.number in function.exports:
        return []
    for step in function.steps:
        if isinstance(step, Op):
            if own.number in distinct_tensors((step.arguments, step.keywords)):
                return []
        elif own.number in (*step.argument_tensors, *step.free_tensors):
            alone = (step.arguments, dict(step.keywords), step.free_tensors) == ((own,), {}, ())
            if (
                not alone
                or step.module.startswith("/")
                or not _is_linear(graph, join_module_path(name, step.module))
            ):
                return []
            found.append(step.module)
    return found


def _is_linear(graph: ModelGraph, name: str) -> bool:
    return name in graph.modules_by_name and graph.modules_by_name[name].class_name == "Linear"


def _fits(told: Mapping[str, LoweredModule], name: str, own: str) -> bool:
    """Whether a layer's results are cut, and nothing else is done at its own inputs."""
    layer = told.get(join_module_path(name, own))
    if layer is None or (own and layer.inputs):
        return False
    weight = layer.parameters.get("weight", LoweredParam(None))
    return weight.dim == 0 and not any(part.deferred_bias for part in layer.parameters.values())


def _closed(name: str, regions: WrappedModules) -> bool:
    """Whether a module's boundary is no place for what its layers do."""
    parts = name.split(".")
    around = {".".join(parts[:count]) for count in range(len(parts) + 1)}
    return name in regions.recomputed or not around.isdisjoint(regions.compiled)


def _between(name: str, own: str, regions: WrappedModules) -> bool:
    """Whether something stands between a module and a layer in it that the layer must not be taken out of."""
    parts = own.split(".") if own else []
    below = {join_module_path(name, ".".join(parts[:count])) for count in range(1, len(parts) + 1)}
    return any(
        not below.isdisjoint(each) for each in (regions.recomputed, regions.compiled, regions.fsdp_units)
    )
