"""`params(...)` of a parameter that the module does not have.

It names parameters that the module owns itself; those of modules inside it are split by
rules for those modules. The dim that is cut is one that the parameter has.

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

from collections.abc import Iterator

from planc.blocks.tensor import ParamLayout
from planc.checks.walk import broken
from planc.ir.diagnostic import Diagnostic
from planc.ir.graph import ModuleDef
from planc.ir.layout import Shard
from planc.ir.settled import Settings
from planc.near import listed, nearest
from planc.resolve.bind import Binding
from planc.resolve.sites import Site, governed, where
from planc.resolve.written import renamed


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    for _, entry, found in governed(binding, "tensor"):
        for i, param in enumerate(entry.value.params):
            faults: dict[tuple[str, str], list[Site]] = {}
            for site in found:
                fault = _fault(param, site.bound.module)
                if fault is not None:
                    faults.setdefault(fault, []).append(site)
            for (got, needed), like in faults.items():
                own = like[0].bound.module.parameters
                meant = nearest(param.name, own) if param.name not in own else None
                label = entry.place.label(got, "params", i)
                yield broken("F607", label, f"the module has no parameter '{param.name}'" if param.name not in own
                             else f"'{param.name}' has no dim {param.layout.dim}",
                             where(like), f"needed: {needed}",
                             fix=renamed(entry.place.label("", "params", i, "name"), param.name, meant),
                             module=like[0].name)  # fmt: skip


def _fault(param: ParamLayout, module: ModuleDef) -> tuple[str, str] | None:
    """What was got, and what was needed."""
    info = module.parameters.get(param.name)
    if info is None:
        if param.name in module.buffers:
            return "a buffer", "a parameter; buffers stay whole"
        if param.name in module.children:
            return "a module inside it", f"a rule for that module, '...{param.name}'"
        own = listed(module.parameters)
        return f"of class {module.class_name}", own or "parameters of its own; it has none"
    dims = len(info.shape)
    if isinstance(param.layout, Shard) and not -dims <= param.layout.dim < dims:
        return f"its shape is {list(info.shape)}", f"a dim from {-dims} to {dims - 1}"
    return None
