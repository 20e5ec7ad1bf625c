"""Matrix products that overlap the gather of their operand.

Where a module's boundary gathers a tensor that linear layers below take unchanged, each rank can multiply
its own shard before the others' shards arrive. The graph says which layers these are.
"""

from __future__ import annotations

from collections.abc import Mapping

from planc.ir.graph import Call, Function, ModelGraph, Op, Value, distinct_tensors
from planc.ir.lowered import LoweredChange, LoweredModule, LoweredParam, OverlappedGather
from planc.ir.record import Record
from planc.proof.result import join_module_path


class WrappedModules(Record):
    """The modules that run as one unit, by their names."""

    recomputed: frozenset[str] = frozenset()
    """The backward pass runs what is inside once more, without what is outside."""
    compiled: frozenset[str] = frozenset()
    """A compiler orders what is inside."""
    fsdp_units: frozenset[str] = frozenset()
    """Their parameters are gathered only while they run."""


def overlapped_gathers(
    graph: ModelGraph, modules: Mapping[str, LoweredModule], wrapped: WrappedModules
) -> dict[str, tuple[OverlappedGather, ...]]:
    """The gathers at each module's inputs that products can overlap, by the module's name."""
    found: dict[str, dict[LoweredChange, tuple[str, ...]]] = {}

    def visit(function: Function, caller: str) -> None:
        for step in function.steps:
            if not isinstance(step, Call):
                continue
            name = join_module_path(caller, step.module)
            callee = graph.functions[step.function]
            for change in modules[name].inputs if name in modules and not _is_closed(name, wrapped) else ():
                if change.before.kind == "shard" and change.after.kind == "replicated":
                    consumers = dict.fromkeys(_linear_consumers(graph, step, callee, change, name))
                    layers = tuple(
                        layer
                        for layer in consumers
                        if _is_plain_colwise(modules, name, layer) and not _lies_between(name, layer, wrapped)
                    )
                    # Every call of the module must allow it.
                    known = found.setdefault(name, {}).setdefault(change, layers)
                    found[name][change] = tuple(layer for layer in known if layer in layers)
            visit(callee, name)

    visit(graph.main_function, "")
    return {
        name: gathers
        for name, by_change in found.items()
        if (gathers := tuple(OverlappedGather(c.path, layers) for c, layers in by_change.items() if layers))
    }


def _linear_consumers(
    graph: ModelGraph, call: Call, callee: Function, change: LoweredChange, name: str
) -> list[str]:
    """The linear layers that alone take an argument of a call, by their names below the callee."""
    if len(change.path) != 1:
        return []
    if _is_linear(graph, name):
        return [""]
    key = change.path[0]
    if isinstance(key, str):
        argument = call.keywords.get(key)
    else:
        argument = call.arguments[key] if key < len(call.arguments) else None
    if not isinstance(argument, Value):
        return []
    tensor = Value(call.argument_tensors.index(argument.number))
    return _only_linear_consumers(graph, callee, tensor, name)


def _only_linear_consumers(graph: ModelGraph, function: Function, tensor: Value, name: str) -> list[str]:
    """The layers that take a tensor of a function. None where anything else takes it too: its gradient
    has to come from these layers alone."""
    found = []
    if tensor.number in function.exports:
        return []
    for step in function.steps:
        if isinstance(step, Op):
            if tensor.number in distinct_tensors((step.arguments, step.keywords)):
                return []
        elif tensor.number in (*step.argument_tensors, *step.free_tensors):
            is_only_argument = (step.arguments, dict(step.keywords), step.free_tensors) == ((tensor,), {}, ())
            is_below = not step.module.startswith("/")
            if not (is_only_argument and is_below and _is_linear(graph, join_module_path(name, step.module))):
                return []
            found.append(step.module)
    return found


def _is_linear(graph: ModelGraph, name: str) -> bool:
    return name in graph.modules_by_name and graph.modules_by_name[name].class_name == "Linear"


def _is_plain_colwise(modules: Mapping[str, LoweredModule], name: str, layer: str) -> bool:
    """Whether a layer's output features are split, and its own boundary changes no input."""
    lowered = modules.get(join_module_path(name, layer))
    if lowered is None or (layer and lowered.inputs):
        return False
    weight = lowered.parameters.get("weight", LoweredParam(None))
    return weight.dim == 0 and not any(param.deferred_bias for param in lowered.parameters.values())


def _is_closed(name: str, wrapped: WrappedModules) -> bool:
    """Whether a module is recomputed, or a compiler orders its inside: no layer's product may then run
    at its boundary."""
    parts = name.split(".")
    prefixes = {".".join(parts[:count]) for count in range(len(parts) + 1)}
    return name in wrapped.recomputed or not prefixes.isdisjoint(wrapped.compiled)


def _lies_between(name: str, layer: str, wrapped: WrappedModules) -> bool:
    """Whether a layer belongs to a unit below the module, whose product must run inside that unit."""
    parts = layer.split(".") if layer else []
    below = {join_module_path(name, ".".join(parts[:count])) for count in range(1, len(parts) + 1)}
    return any(
        not below.isdisjoint(unit) for unit in (wrapped.recomputed, wrapped.compiled, wrapped.fsdp_units)
    )
