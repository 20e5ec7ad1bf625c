"""`params(...)` or `buffers(...)` of something that the module does not have.

It names parameters of the module itself; write rules for the modules inside it to shard
theirs. The parameter must have the dim that the rule shards.

Wrong (planc check --model tiny-moe.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        model.layers.*.mlp.experts  params(gate_up_porj: shard(1))
    }

Right (planc check --model tiny-moe.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        model.layers.*.mlp.experts  params(gate_up_proj: replicate)
    }
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planc.bind.binding import Binding
from planc.bind.module_groups import ModuleGroup, location_note, rules_with_modules
from planc.closest import closest_match, join_names
from planc.ir.blocks import ParamLayout, Rule
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.graph import ModuleDef
from planc.ir.layout import Replicate, Shard
from planc.ir.resolved import Located, Settings
from planc.ir.text_fixes import rename_fix


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    for _, entry, groups in rules_with_modules(binding, Rule):
        yield from _unknown_buffers(entry, groups)
        for i, param in enumerate(entry.value.params):
            mismatches: dict[tuple[str, str], list[ModuleGroup]] = {}
            for group in groups:
                mismatch = _mismatch(param, group.bound.module)
                if mismatch is not None:
                    mismatches.setdefault(mismatch, []).append(group)
            for (got, needed), matching in mismatches.items():
                parameters = matching[0].bound.module.parameters
                closest = closest_match(param.name, parameters) if param.name not in parameters else None
                label = entry.location.label(got, "params", i)
                message = (f"the module has no parameter '{param.name}'" if param.name not in parameters
                           else f"'{param.name}' has no dim {param.layout.dim}")  # fmt: skip
                yield diagnostic("F607", label, message, location_note(matching), f"needed: {needed}",
                             fix=rename_fix(entry.location.label("", "params", i, "name"), param.name, closest),
                             module=matching[0].name)  # fmt: skip


def _unknown_buffers(entry: Located, groups: Sequence[ModuleGroup]) -> Iterator[Diagnostic]:
    """Buffers that a module does not have, or dims that these do not have."""
    for i, buffer in enumerate(entry.value.buffers):
        for group in groups:
            buffers = group.bound.module.buffers
            info = buffers.get(buffer.name)
            dims = 0 if info is None else len(info.shape)
            if info is None:
                message, got = (
                    f"the module has no buffer '{buffer.name}'",
                    f"of class {group.bound.module.class_name}",
                )
                needed = join_names(buffers) or "buffers of its own; it has none"
            elif isinstance(buffer.layout, Shard) and not -dims <= buffer.layout.dim < dims:
                message, got = (
                    f"'{buffer.name}' has no dim {buffer.layout.dim}",
                    f"its shape is {list(info.shape)}",
                )
                needed = f"a dim from {-dims} to {dims - 1}"
            elif isinstance(buffer.layout, Shard | Replicate):
                continue
            else:
                message, got = f"'{buffer.name}' cannot be {buffer.layout}", "a buffer"
                needed = "a shard, or replicate"
            closest = closest_match(buffer.name, buffers) if info is None else None
            yield diagnostic("F607", entry.location.label(got, "buffers", i), message, location_note([group]),
                         f"needed: {needed}",
                         fix=rename_fix(entry.location.label("", "buffers", i, "name"), buffer.name, closest),
                         module=group.name)  # fmt: skip
            break


def _mismatch(param: ParamLayout, module: ModuleDef) -> tuple[str, str] | None:
    """What the module has instead, and what is needed."""
    info = module.parameters.get(param.name)
    if info is None:
        if param.name in module.buffers:
            return "a buffer", f"buffers({param.name}: {param.layout})"
        if param.name in module.children:
            return "a module inside it", f"a rule for that module, '...{param.name}'"
        own = join_names(module.parameters)
        return f"of class {module.class_name}", own or "parameters of its own; it has none"
    dims = len(info.shape)
    if isinstance(param.layout, Shard) and not -dims <= param.layout.dim < dims:
        return f"its shape is {list(info.shape)}", f"a dim from {-dims} to {dims - 1}"
    return None
