"""Which tensors of a file are which of a model."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from planc.ir.weights import WeightsError
from planc.torch.weights.trees import Joined, Leaf, Stacked, Tree, Turned

PREFIXES = ("model.", "state_dict.", "module.")
"""What the model's names may begin with in a file that holds more than the model."""

Found = tuple[dict[str, Tree], list[str]]
"""Tensors by the model's names, and the names that the model does not have."""


def trees(model: nn.Module, shapes: Mapping[str, tuple[int, ...]], wanted: Sequence[str]) -> Found:
    """What a file has for each name of a model.

    A model of transformers may have other names in files than in memory, and tensors in pieces:
    transformers says which.
    """
    names = set(wanted)
    known = len(names & shapes.keys())
    if known < len(names) or known < len(shapes):
        for prefix in PREFIXES:
            inner = {n.removeprefix(prefix): n for n in shapes if n.startswith(prefix)}
            if len(names & inner.keys()) > known:
                # The rest of the file is not the model's: an optimizer's state, ...
                surplus = sorted(inner[name] for name in inner.keys() - names)
                return {n: Leaf(inner[n], shapes[inner[n]]) for n in names & inner.keys()}, surplus
        if (converted := _converted(model, shapes, names)) is not None:
            return converted
    found: dict[str, Tree] = {name: Leaf(name, shapes[name]) for name in names & shapes.keys()}
    return found, sorted(shapes.keys() - names)


def ignored(model: nn.Module, name: str) -> bool:
    """Whether a model of transformers says that a name of files may be passed over."""
    patterns = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()
    return any(re.search(pattern, name) for pattern in patterns)


def _converted(model: nn.Module, shapes: Mapping[str, tuple[int, ...]], names: set[str]) -> Found | None:
    """The names as transformers converts them; None: it is no model of transformers, or too few fit."""
    if not hasattr(model, "base_model_prefix") or not hasattr(model, "config"):
        return None
    from transformers import conversion_mapping
    from transformers.core_model_loading import (
        WeightConverter,
        WeightRenaming,
        dot_natural_key,
        rename_source_key,
    )

    mapping = conversion_mapping.get_model_conversion_mapping(original(model))
    renamings = [entry for entry in mapping if isinstance(entry, WeightRenaming)]
    converters = [entry for entry in mapping if isinstance(entry, WeightConverter)]
    present: Any = dict.fromkeys(names, True)
    prefix: Any = model.base_model_prefix
    pieces: dict[str, dict[str | None, list[Tree]]] = {}
    surplus = []
    for name in sorted(shapes, key=dot_natural_key):
        said, pattern = rename_source_key(name, renamings, converters, prefix, present)
        if said not in names:
            said, pattern = rename_source_key(name, [], [], prefix, present)
        if said in names:
            pieces.setdefault(said, {}).setdefault(pattern, []).append(Leaf(name, shapes[name]))
        else:
            surplus.append(name)
    if len(pieces) * 2 < len(names):
        return None
    by_pattern = {pattern: c for c in converters for pattern in c.source_patterns}
    return {name: _tree(name, held, by_pattern) for name, held in pieces.items()}, surplus


def _tree(name: str, held: dict[str | None, list[Tree]], converters: Mapping[str, Any]) -> Tree:
    """What a converter makes of the pieces of a tensor."""
    if None in held:
        return held[None][0]
    converter = converters[next(str(pattern) for pattern in held)]
    lists = [held[pattern] for pattern in converter.source_patterns if pattern in held]
    for operation in converter.operations:
        match type(operation).__name__:
            case "MergeModulelist":
                lists = [[Stacked(operation.dim, tuple(items))] for items in lists]
            case "Concatenate":
                lists = [[Joined(operation.dim, tuple(item for items in lists for item in items))]]
            case "Transpose" if not operation.check_dims:
                lists = [
                    [Turned((operation.dim0, operation.dim1), item) for item in items] for items in lists
                ]
            case other:
                raise WeightsError(
                    f"'{name}' is made by {other} of transformers, which is not read in slices"
                )
    if len(lists) != 1 or len(lists[0]) != 1:
        raise WeightsError(f"'{name}' is made of several tensors in a way that is not read in slices")
    return lists[0][0]


def original(model: nn.Module) -> Any:
    """A model of transformers as its class makes it, without weights: names of classes say how
    files are read."""
    with torch.device("meta"):
        return original_class(model)(copy.deepcopy(model.config))


def original_class(model: nn.Module) -> Any:
    """The class of a model before FSDP changed it."""
    from torch.distributed.fsdp import FSDPModule

    return next(c for c in type(model).__mro__ if not issubclass(c, FSDPModule))
