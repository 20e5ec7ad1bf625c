"""Whether the ranks see the batches that they should: a tensor group one, and each group its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from planc.ir.tree import CONTAINERS, Dataclass, TreePath, nodes
from planc.torch.train.digest import tensor_digest, text_digest
from planc.torch.train.grads import all_gather_flat

_MAX_SHOWN = 60
"""Letters of a value that is no tensor."""


class BatchReport(NamedTuple):
    """What is said of one batch, the same on all ranks."""

    error: str | None
    """The ranks of a tensor group have different batches."""
    warning: str | None
    """Groups that should have different batches have the same one."""


class BatchConsistency:
    """A check of batches: one collective of 8 bytes a rank, where all is well.

    Args:
        mesh: of two axes and all ranks: along the first one batches differ, along the second one
            they are the same.

    Raises:
        ValueError: the mesh has not two axes, or not all ranks.
    """

    def __init__(self, mesh: DeviceMesh) -> None:
        if mesh.ndim != 2 or mesh.size() != dist.get_world_size():
            raise ValueError(
                f"a mesh of {mesh.ndim} axes and {mesh.size()} ranks: needed: two axes, data and tensor, "
                f"and all {dist.get_world_size()} ranks"
            )
        self.groups: list[list[int]] = mesh.mesh.tolist()
        self.device = torch.device(mesh.device_type)

    def check(self, batch: Any) -> BatchReport:
        """Compare the batches of all ranks; each rank calls this with its own.

        Args:
            batch: tensors in tuples, lists, mappings and dataclasses; anything else is compared by
                its `repr`. Ranks may differ in the form of it, too.
        """
        parts = dict(_batch_leaves(batch, "batch"))
        own = text_digest(repr(list(parts.items())))
        seen: list[int] = all_gather_flat(torch.tensor([own], device=self.device)).tolist()
        for group in self.groups:
            for rank in group:
                if seen[rank] != seen[group[0]]:
                    # All ranks see the same numbers, so all of them come here.
                    return BatchReport(_first_difference(parts, group[0], rank), None)
        return BatchReport(
            None, self._repeated_batch(seen) if any(part.is_tensor for part in parts.values()) else None
        )

    def _repeated_batch(self, seen: Sequence[int]) -> str | None:
        first: dict[int, int] = {}
        for number, group in enumerate(self.groups):
            other = first.setdefault(seen[group[0]], number)
            if other != number:
                return (
                    f"data ranks {other} and {number} (ranks {_format_ranks(self.groups[other])} and {_format_ranks(group)}) "
                    "have the same batch: the same work is done twice. needed: a sampler that gives each data "
                    "rank its own samples; an IterableDataset has to take its own part by the data rank"
                )
        return None


class _BatchLeaf(NamedTuple):
    """A leaf of a batch."""

    is_tensor: bool
    description: str
    digest: int


def _batch_leaves(batch: Any, name: str) -> Iterator[tuple[str, _BatchLeaf]]:
    """The leaves of a batch by their paths as text, and its containers by their types and lengths."""
    seen: dict[TreePath, tuple[str, Any]] = {}
    for path, node in nodes(batch, into=(*CONTAINERS, Dataclass)):
        above, parent = seen[path[:-1]] if path else (name, None)
        is_field = isinstance(parent, Dataclass) and not isinstance(parent, CONTAINERS)
        text = above if not path else f"{above}.{path[-1]}" if is_field else f"{above}[{path[-1]!r}]"
        seen[path] = text, node
        if isinstance(node, Mapping):
            yield (
                f"{text} (a {type(node).__name__})",
                _BatchLeaf(False, f"keys {_truncate(list(node))}", len(node)),
            )
        elif isinstance(node, list | tuple):
            yield f"{text} (a {type(node).__name__})", _BatchLeaf(False, f"{len(node)} items", len(node))
        elif not isinstance(node, Dataclass):
            yield text, _batch_leaf(node)


def _batch_leaf(item: Any) -> _BatchLeaf:
    if isinstance(item, Tensor):
        return _tensor_leaf(item)
    if hasattr(item, "__array_interface__") and item.dtype.kind in "biufc":
        return _tensor_leaf(torch.tensor(item))
    text = _stable_repr(item)
    return _BatchLeaf(False, _truncate(text), text_digest(text))


def _stable_repr(item: Any) -> str:
    """A value as text that is the same in every process."""
    if isinstance(item, set | frozenset):
        return f"{{{', '.join(sorted(map(_stable_repr, item)))}}}"
    # Where an object lies in memory says nothing about it.
    return re.sub(r" at 0x[0-9a-f]+", "", repr(item))


def _tensor_leaf(item: Tensor) -> _BatchLeaf:
    form = f"{str(item.dtype).removeprefix('torch.')} {list(item.shape)}"
    if isinstance(item, DTensor):
        return _BatchLeaf(False, f"{form} split as {item.placements}", 0)
    if item.is_meta or item.is_nested or item.is_quantized or item.layout != torch.strided:
        return _BatchLeaf(False, f"{form} {item.layout}", 0)
    return _BatchLeaf(item.numel() > 0, form, int(tensor_digest(item)))


def _first_difference(parts: Mapping[str, _BatchLeaf], one: int, two: int) -> str:
    """What differs between two ranks. Every rank calls this."""
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, dict(parts))
    first, second = every[one], every[two]
    paths = [*first, *(path for path in second if path not in first)]
    path = next((path for path in paths if first.get(path) != second.get(path)), paths[0])
    forms = [_describe_leaf(first.get(path)), _describe_leaf(second.get(path))]
    what = f"{forms[0]} and {forms[1]}" if forms[0] != forms[1] else f"{forms[0]}, with other values"
    return (
        f"ranks {one} and {two} share a tensor group, and their batches differ in {path}: {what}. needed: the same "
        "batch on all ranks of a tensor group: a sampler by the data rank, and the same seed for what is random"
    )


def _describe_leaf(part: _BatchLeaf | None) -> str:
    return "nothing" if part is None else part.description


def _truncate(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _format_ranks(ranks: Sequence[int]) -> str:
    return ", ".join(map(str, ranks)) if len(ranks) < 5 else f"{ranks[0]} to {ranks[-1]}"
