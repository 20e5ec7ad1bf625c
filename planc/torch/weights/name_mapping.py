"""Which tensors of a file are which of a model."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from planc.ir.errors import WeightsError
from planc.torch.models.compat import ignored_weight_patterns, weight_conversion
from planc.torch.weights.tensor_exprs import (
    ConcatTensors,
    FileTensor,
    StackedTensors,
    TensorExpr,
    TransposedTensor,
)

PREFIXES = ("model.", "state_dict.", "module.")
"""What the model's names may begin with in a file that holds more than the model."""

MappedTensors = tuple[dict[str, TensorExpr], list[str]]
"""Tensors by the model's names, and the names that the model does not have."""


def map_tensors(
    model: nn.Module, shapes: Mapping[str, tuple[int, ...]], wanted: Sequence[str]
) -> MappedTensors:
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
                return {n: FileTensor(inner[n], shapes[inner[n]]) for n in names & inner.keys()}, surplus
        if (converted := _transformers_mapping(model, shapes, names)) is not None:
            return converted
    found: dict[str, TensorExpr] = {name: FileTensor(name, shapes[name]) for name in names & shapes.keys()}
    return found, sorted(shapes.keys() - names)


def is_ignored(model: nn.Module, name: str) -> bool:
    """Whether a model of transformers says that a name of files may be passed over."""
    patterns = ignored_weight_patterns(model)
    return any(re.search(pattern, name) for pattern in patterns)


def _transformers_mapping(
    model: nn.Module, shapes: Mapping[str, tuple[int, ...]], names: set[str]
) -> MappedTensors | None:
    """The names as transformers converts them; None: it is no model of transformers, or too few fit."""
    if not hasattr(model, "base_model_prefix") or not hasattr(model, "config"):
        return None
    renamings, converters, sort_key, rename = weight_conversion(unsplit_skeleton(model))
    present: Any = dict.fromkeys(names, True)
    prefix: Any = model.base_model_prefix
    pieces: dict[str, dict[str | None, list[TensorExpr]]] = {}
    surplus = []
    for name in sorted(shapes, key=sort_key):
        said, pattern = rename(name, renamings, converters, prefix, present)
        if said not in names:
            said, pattern = rename(name, [], [], prefix, present)
        if said in names:
            pieces.setdefault(said, {}).setdefault(pattern, []).append(FileTensor(name, shapes[name]))
        else:
            surplus.append(name)
    if len(pieces) * 2 < len(names):
        return None
    by_pattern = {pattern: c for c in converters for pattern in c.source_patterns}
    return {name: _convert(name, held, by_pattern) for name, held in pieces.items()}, surplus


def _convert(
    name: str, held: dict[str | None, list[TensorExpr]], converters: Mapping[str, Any]
) -> TensorExpr:
    """What a converter makes of the pieces of a tensor."""
    if None in held:
        return held[None][0]
    converter = converters[next(str(pattern) for pattern in held)]
    lists = [held[pattern] for pattern in converter.source_patterns if pattern in held]
    for operation in converter.operations:
        match type(operation).__name__:
            case "MergeModulelist":
                lists = [[StackedTensors(operation.dim, tuple(items))] for items in lists]
            case "Concatenate":
                lists = [[ConcatTensors(operation.dim, tuple(item for items in lists for item in items))]]
            case "Transpose" if not operation.check_dims:
                lists = [
                    [TransposedTensor((operation.dim0, operation.dim1), item) for item in items]
                    for items in lists
                ]
            case other:
                raise WeightsError(
                    f"'{name}' is made by {other} of transformers, which is not read in slices"
                )
    if len(lists) != 1 or len(lists[0]) != 1:
        raise WeightsError(f"'{name}' is made of several tensors in a way that is not read in slices")
    return lists[0][0]


def unsplit_skeleton(model: nn.Module) -> Any:
    """A model of transformers as its class makes it, without weights: names of classes say how
    files are read."""
    with torch.device("meta"):
        return unsharded_class(model)(copy.deepcopy(model.config))


def unsharded_class(model: nn.Module) -> Any:
    """The class of a model before FSDP changed it."""
    from torch.distributed.fsdp import FSDPModule

    return next(c for c in type(model).__mro__ if not issubclass(c, FSDPModule))
