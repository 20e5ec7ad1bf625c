"""A style on a module that it cannot split.

colwise, rowwise and packed_colwise know the parameters of Linear, Embedding and
Conv1D, and of classes that derive from them. A norm takes sequence or replicate; a
module that only holds others takes inputs and outputs; any other parameter is split
by params. A module would stay whole while the rule says that it is split.

Wrong (planc check --model tiny-llama.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        model.norm  colwise
    }

Right (planc check --model tiny-llama.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        model.norm  replicate
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.blocks.tensor import Rule
from planc.checks.walk import broken
from planc.ir.diagnostic import Diagnostic, replace
from planc.ir.graph import ModuleDef
from planc.ir.settled import Settings
from planc.near import listed
from planc.resolve.bind import Binding
from planc.resolve.sites import Site, governed, where
from planc.resolve.weights import rows
from planc.styles import STYLES


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    for _, entry, found in governed(binding, "tensor"):
        unfit: dict[tuple[str, str, str], list[Site]] = {}
        for site in found:
            fault = _unfit(entry.value, site.bound.module)
            if fault is not None:
                unfit.setdefault(fault, []).append(site)
        for (message, got, advice), like in unfit.items():
            label = entry.place.label(got, "style")
            whole = all(len(i.shape) < 2 for site in like for i in site.bound.module.parameters.values())
            fix = replace(label, "replicate") if whole and like[0].bound.module.parameters else None
            yield broken("F603", label, message, where(like), f"help: {advice}", fix=fix, module=like[0].name)


def _unfit(rule: Rule, module: ModuleDef) -> tuple[str, str, str] | None:
    """What is wrong, what was got, and what would fit."""
    style = STYLES.get(rule.style) if rule.style is not None else None
    if style is None:
        return None
    got = f"of class {module.class_name}"
    known = rows(style, module)
    if known is None:
        return f"'{style.name}' cannot split this module", got, _fitting(module)
    named = {param.name for param in rule.params}
    if not module.parameters and style.input is None:
        inner = (
            f"name modules inside it: {listed(module.children)}" if module.children else "leave the rule out"
        )
        return f"'{style.name}' says nothing of a module without parameters of its own", got, inner
    left = [name for name in module.parameters if name not in known and name not in named]
    if left:
        return (f"'{style.name}' does not say how '{left[0]}' is split", got,
                f"add params({left[0]}: ...) to the rule")  # fmt: skip
    return None


def _fitting(module: ModuleDef) -> str:
    own = module.parameters
    if not own and module.children:
        return f"name modules inside it, as {listed(module.children)}, or write inputs(...) and outputs(...)"
    if not own:
        return "it has no parameters: write inputs(...) and outputs(...), or sequence"
    if all(len(info.shape) < 2 for info in own.values()):
        return "write sequence where the sequence is split, or replicate"
    wide = next(name for name, info in own.items() if len(info.shape) > 1)
    return f"write params({wide}: shard(0)), with the dim that is to be cut"
