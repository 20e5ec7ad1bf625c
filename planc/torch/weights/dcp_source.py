"""A folder of `torch.distributed.checkpoint`."""

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
    """Reads slices, each rank for itself: no rank waits for another. Stored shards are read whole."""

    def __init__(self, folder: Path | FileSystemReader) -> None:
        self._reader = folder if isinstance(folder, FileSystemReader) else FileSystemReader(folder)
        self._metadata = self._reader.read_metadata()
        self._reader.set_up_storage_reader(self._metadata, is_coordinator=False)
        self._known = {
            name: held
            for name, held in self._metadata.state_dict_metadata.items()
            if isinstance(held, TensorStorageMetadata)
        }
        self.shapes = {name: tuple(held.size) for name, held in self._known.items()}

    def read_into(self, requests: Iterable[SliceRequest]) -> int:
        asked = list(requests)
        items: list[ReadItem] = []
        for number, request in enumerate(asked):
            offsets, sizes = zip(*request.bounds) if request.bounds else ((), ())
            chunk = ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes))
            for item in create_read_items_for_chunk_list(request.name, self._known[request.name], [chunk]):
                items.append(_with_index(item, number))
        planner: Any = _SlicePlanner(asked)
        self._reader.read_data(LoadPlan(items), planner).wait()
        return int(planner.read)


def _with_index(item: ReadItem, number: int) -> ReadItem:
    """An item that says for which request it is read."""
    place = MetadataIndex(item.dest_index.fqn, item.dest_index.offset, number)
    return ReadItem(
        item.type, place, item.dest_offsets, item.storage_index, item.storage_offsets, item.lengths
    )


class _SlicePlanner:
    """Tells the reader where the slices go."""

    def __init__(self, asked: list[SliceRequest]) -> None:
        self._asked, self.read = asked, 0

    def resolve_tensor(self, item: ReadItem) -> Tensor:
        into = self._asked[item.dest_index.index or 0].dest
        for dim, (first, size) in enumerate(zip(item.dest_offsets, item.lengths)):
            into = into.narrow(dim, first, size)
        return into

    def commit_tensor(self, item: ReadItem, tensor: Tensor) -> None:
        self.read += tensor.nbytes
