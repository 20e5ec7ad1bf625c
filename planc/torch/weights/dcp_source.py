"""Weights from a folder of `torch.distributed.checkpoint`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    MetadataIndex,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import LoadPlan, ReadItem
from torch.distributed.checkpoint.planner_helpers import create_read_items_for_chunk_list

from planc.torch.weights.tensor_exprs import SliceRequest


class DcpSource:
    """Reads slices; no rank waits for another. Each stored shard that a slice touches is read completely."""

    def __init__(self, folder: Path | FileSystemReader) -> None:
        self._reader = folder if isinstance(folder, FileSystemReader) else FileSystemReader(folder)
        self._metadata = self._reader.read_metadata()
        self._reader.set_up_storage_reader(self._metadata, is_coordinator=False)
        self._tensors = {
            name: entry
            for name, entry in self._metadata.state_dict_metadata.items()
            if isinstance(entry, TensorStorageMetadata)
        }
        self.shapes = {name: tuple(entry.size) for name, entry in self._tensors.items()}

    def read_into(self, requests: Iterable[SliceRequest]) -> int:
        listed = list(requests)
        items: list[ReadItem] = []
        for number, request in enumerate(listed):
            offsets, sizes = zip(*request.bounds) if request.bounds else ((), ())
            chunk = ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes))
            for item in create_read_items_for_chunk_list(request.name, self._tensors[request.name], [chunk]):
                items.append(_with_index(item, number))
        planner: Any = _SlicePlanner(listed)
        self._reader.read_data(LoadPlan(items), planner).wait()
        return int(planner.read)


def _with_index(item: ReadItem, number: int) -> ReadItem:
    """The item with the number of its request as index."""
    index = MetadataIndex(item.dest_index.fqn, item.dest_index.offset, number)
    return ReadItem(
        item.type, index, item.dest_offsets, item.storage_index, item.storage_offsets, item.lengths
    )


class _SlicePlanner:
    """Gives the reader the memory of each slice."""

    def __init__(self, requests: list[SliceRequest]) -> None:
        self._requests, self.read = requests, 0

    def resolve_tensor(self, item: ReadItem) -> Tensor:
        dest = self._requests[item.dest_index.index or 0].dest
        for dim, (first, size) in enumerate(zip(item.dest_offsets, item.lengths)):
            dest = dest.narrow(dim, first, size)
        return dest

    def commit_tensor(self, item: ReadItem, tensor: Tensor) -> None:
        self.read += tensor.nbytes
