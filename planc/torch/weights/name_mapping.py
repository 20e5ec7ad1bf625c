"""The tensors of a file for each tensor of a model."""

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
"""Prefixes of the model's names in files that contain more than the model."""

MappedTensors = tuple[dict[str, TensorExpr], list[str]]
"""Expressions by the model's names, and names in the file that the model does not have."""


def map_tensors(
    model: nn.Module, shapes: Mapping[str, tuple[int, ...]], wanted: Sequence[str]
) -> MappedTensors:
    """Express the tensors of a model by those of a file.

    Models of transformers can have other names in files than in memory, and tensors in pieces: transformers has
    the rules.

    Args:
        shapes: of the tensors in the file, by name.
        wanted: names in the model.
    """
    names = set(wanted)
    known = len(names & shapes.keys())
    if known < len(names) or known < len(shapes):
        for prefix in PREFIXES:
            inner = {n.removeprefix(prefix): n for n in shapes if n.startswith(prefix)}
            if len(names & inner.keys()) > known:
                # The rest of the file belongs to something else, such as an optimizer.
                surplus = sorted(inner[name] for name in inner.keys() - names)
                return {n: FileTensor(inner[n], shapes[inner[n]]) for n in names & inner.keys()}, surplus
        if (converted := _transformers_mapping(model, shapes, names)) is not None:
            return converted
    direct: dict[str, TensorExpr] = {name: FileTensor(name, shapes[name]) for name in names & shapes.keys()}
    return direct, sorted(shapes.keys() - names)


def is_ignored(model: nn.Module, name: str) -> bool:
    """Whether a model of transformers declares that it ignores a name in files."""
    patterns = ignored_weight_patterns(model)
    return any(re.search(pattern, name) for pattern in patterns)


def _transformers_mapping(
    model: nn.Module, shapes: Mapping[str, tuple[int, ...]], names: set[str]
) -> MappedTensors | None:
    """The tensors as transformers converts them; None: this is not a model of transformers, or fewer than half
    of its names match."""
    if not hasattr(model, "base_model_prefix") or not hasattr(model, "config"):
        return None
    renamings, converters, sort_key, rename = weight_conversion(unsplit_skeleton(model))
    present: Any = dict.fromkeys(names, True)
    prefix: Any = model.base_model_prefix
    pieces: dict[str, dict[str | None, list[TensorExpr]]] = {}
    surplus = []
    for name in sorted(shapes, key=sort_key):
        renamed, pattern = rename(name, renamings, converters, prefix, present)
        if renamed not in names:
            renamed, pattern = rename(name, [], [], prefix, present)
        if renamed in names:
            pieces.setdefault(renamed, {}).setdefault(pattern, []).append(FileTensor(name, shapes[name]))
        else:
            surplus.append(name)
    if len(pieces) * 2 < len(names):
        return None
    by_pattern = {pattern: c for c in converters for pattern in c.source_patterns}
    return {name: _convert(name, parts, by_pattern) for name, parts in pieces.items()}, surplus


def _convert(
    name: str, pieces: dict[str | None, list[TensorExpr]], converters: Mapping[str, Any]
) -> TensorExpr:
    """The expression that a converter of transformers makes of the pieces of a tensor."""
    if None in pieces:
        return pieces[None][0]
    converter = converters[next(str(pattern) for pattern in pieces)]
    lists = [pieces[pattern] for pattern in converter.source_patterns if pattern in pieces]
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
                    f"planc cannot read slices of '{name}', which {other} of transformers makes"
                )
    if len(lists) != 1 or len(lists[0]) != 1:
        raise WeightsError(
            f"planc cannot read slices of '{name}', which transformers makes of several tensors"
        )
    return lists[0][0]


def unsplit_skeleton(model: nn.Module) -> Any:
    """A model of transformers as its class makes it, on the meta device: FSDP2 changes the names of classes, by which
    transformers finds its rules."""
    with torch.device("meta"):
        return unsharded_class(model)(copy.deepcopy(model.config))


def unsharded_class(model: nn.Module) -> Any:
    """The class of a model before FSDP2 changed it."""
    from torch.distributed.fsdp import FSDPModule

    return next(c for c in type(model).__mro__ if not issubclass(c, FSDPModule))
