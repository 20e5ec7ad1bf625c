"""Whether all ranks of a tensor group get the same batch, and each group another one."""

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
"""The most characters that a message shows of a value that is not a tensor."""


class BatchReport(NamedTuple):
    """The result for one batch, the same on all ranks."""

    error: str | None
    """Ranks of a tensor group have different batches."""
    warning: str | None
    """Two tensor groups have the same batch."""


class BatchConsistency:
    """Checks batches: one collective of 8 bytes a rank if there is nothing to report.

    Args:
        mesh: two axes and all ranks: batches differ along the first axis, and are the same along the
            second.

    Raises:
        ValueError: the mesh does not have two axes, or lacks ranks.
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
        """Compare the batches of all ranks. Each rank calls this with its own.

        Args:
            batch: tensors in tuples, lists, mappings and dataclasses; planc compares other values by their
                `repr`. Its structure may differ between ranks.
        """
        leaves = dict(_batch_leaves(batch, "batch"))
        own = text_digest(repr(list(leaves.items())))
        digests: list[int] = all_gather_flat(torch.tensor([own], device=self.device)).tolist()
        for group in self.groups:
            for rank in group:
                if digests[rank] != digests[group[0]]:
                    # All ranks have the same digests, so all of them take part in the next collective.
                    return BatchReport(_first_difference(leaves, group[0], rank), None)
        has_tensors = any(leaf.is_tensor for leaf in leaves.values())
        return BatchReport(None, self._repeated_batch(digests) if has_tensors else None)

    def _repeated_batch(self, digests: Sequence[int]) -> str | None:
        first: dict[int, int] = {}
        for number, group in enumerate(self.groups):
            other = first.setdefault(digests[group[0]], number)
            if other != number:
                return (
                    f"data ranks {other} and {number} (ranks {_format_ranks(self.groups[other])} and {_format_ranks(group)}) "
                    "have the same batch and do the same work. needed: a sampler that gives each data "
                    "rank its own samples; an IterableDataset must select its part by the data rank"
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
    """The `repr` of a value, the same in every process."""
    if isinstance(item, set | frozenset):
        return f"{{{', '.join(sorted(map(_stable_repr, item)))}}}"
    # Addresses in memory differ between processes.
    return re.sub(r" at 0x[0-9a-f]+", "", repr(item))


def _nested_leaf(item: Tensor) -> _BatchLeaf:
    """A tensor of tensors of several shapes. One that is strided does not even say its shape."""
    parts = list(map(_tensor_leaf, item.unbind()))
    shown = _truncate(f"nested: {', '.join(part.description for part in parts)}")
    return _BatchLeaf(any(part.is_tensor for part in parts), shown, text_digest(repr(parts)))


def _tensor_leaf(item: Tensor) -> _BatchLeaf:
    if item.is_nested:
        return _nested_leaf(item)
    description = f"{str(item.dtype).removeprefix('torch.')} {list(item.shape)}"
    if isinstance(item, DTensor):
        return _BatchLeaf(False, f"{description} split as {item.placements}", 0)
    if item.is_meta or item.is_quantized or item.layout != torch.strided:
        return _BatchLeaf(False, f"{description} {item.layout}", 0)
    return _BatchLeaf(item.numel() > 0, description, int(tensor_digest(item)))


def _first_difference(leaves: Mapping[str, _BatchLeaf], one: int, two: int) -> str:
    """The message about the first difference between two ranks. Every rank calls this."""
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, dict(leaves))
    first, second = every[one], every[two]
    paths = [*first, *(path for path in second if path not in first)]
    path = next((path for path in paths if first.get(path) != second.get(path)), paths[0])
    one_has, two_has = _describe_leaf(first.get(path)), _describe_leaf(second.get(path))
    difference = f"{one_has} and {two_has}" if one_has != two_has else f"{one_has}, with other values"
    return (
        f"ranks {one} and {two} share a tensor group, and their batches differ in {path}: {difference}. needed: the same "
        "batch on all ranks of a tensor group: a sampler by the data rank, and the same seed for random transforms"
    )


def _describe_leaf(leaf: _BatchLeaf | None) -> str:
    return "nothing" if leaf is None else leaf.description


def _truncate(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _format_ranks(ranks: Sequence[int]) -> str:
    return ", ".join(map(str, ranks)) if len(ranks) < 5 else f"{ranks[0]} to {ranks[-1]}"
