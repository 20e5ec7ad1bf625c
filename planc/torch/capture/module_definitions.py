"""The table of module definitions; equal modules have one definition."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from planc.graph.graph_writer import encode_module
from planc.ir.graph import ModuleDef
from planc.torch.capture.name_scope import NameScope
from planc.torch.capture.tensor_table import tensor_info
from planc.torch.capture.trace_records import CallRecord, sym_numbers
from planc.torch.compat import own_buffers, own_modules, own_parameters

Attributes = Mapping[str, Mapping[str, int]]
"""Numbers that the code reads off modules: by the module's name, then by the attribute's."""


def module_definitions(model: nn.Module, attributes: Attributes) -> tuple[ModuleDef, ...]:
    """The definitions of a model's modules, children first; the last one is the model's."""
    found: list[ModuleDef] = []
    known: dict[str, int] = {}

    def define(module: nn.Module, name: str) -> int:
        children = {
            child: define(inner, f"{name}.{child}" if name else child)
            for child, inner in own_modules(module).items()
            if inner is not None
        }
        definition = _definition(module, attributes.get(name, {}), children)
        key = json.dumps(encode_module(definition))
        if key not in known:
            known[key] = len(found)
            found.append(definition)
        return known[key]

    define(model, "")
    return tuple(found)


def _definition(module: nn.Module, attributes: Mapping[str, int], children: Mapping[str, int]) -> ModuleDef:
    def infos(tensors: Mapping[str, Tensor | None]) -> dict[str, Any]:
        return {name: tensor_info(tensor) for name, tensor in tensors.items() if tensor is not None}

    return ModuleDef(
        type(module).__name__,
        tuple(_bases(type(module))),
        infos(own_parameters(module)),
        infos(own_buffers(module)),
        dict(sorted(attributes.items())),
        dict(children),
    )


def _bases(kind: type) -> Iterator[str]:
    for base in kind.__mro__[1:]:
        if base is nn.Module:
            return
        if issubclass(base, nn.Module):
            yield base.__name__


def attributes_used(root: CallRecord, names: NameScope) -> dict[str, dict[str, int]]:
    """The attributes that the numbers of a run come from, under each name of their modules."""
    found: dict[str, dict[str, int]] = {}
    for call in root.calls():
        items = [(step.arguments, step.keywords) for step in call.steps]
        for number in sym_numbers((*items, call.result)):
            if number.op == "attribute":
                owner, _, own = str(number.arguments[0]).removeprefix("/").partition(":")
                for name in names.all_names(owner):
                    found.setdefault(name, {})[own] = int(number.captured)
    return found
