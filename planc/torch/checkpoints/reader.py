"""Readers of checkpoints: a tree of names and values, and slices of tensors on request."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import BytesStorageMetadata, MetadataIndex
from torch.distributed.checkpoint.planner import LoadItemType, LoadPlan, ReadItem

from planc.ir.errors import WeightsError
from planc.ir.tree import TreePath, dotted, map_leaves_with_paths, with_dicts
from planc.torch.checkpoints.storage import (
    META_FILE,
    METADATA_FILE,
    LocalStorage,
    RemoteStorage,
    meta_file_name,
)
from planc.torch.compat import unflatten_state_dict
from planc.torch.weights.dcp_source import DcpSource
from planc.torch.weights.tensor_exprs import SliceRequest

Tree = dict[str, Any]


class TensorEntry(NamedTuple):
    """A tensor in a checkpoint, which is not read yet."""

    name: str
    """For a `SliceRequest`."""
    shape: tuple[int, ...]
    dtype: torch.dtype


class CheckpointReader(Protocol):
    """An open checkpoint."""

    tree: Tree
    """Values by key, with a `TensorEntry` for each tensor."""

    def read_into(self, requests: Iterable[SliceRequest]) -> int:
        """Read slices into the tensors of the requests. Returns the bytes read."""

    def rest(self, used: Iterable[str]) -> Tree:
        """Everything but the states under some keys."""


def open_checkpoint(storage: LocalStorage | RemoteStorage, weights_only: bool | None) -> CheckpointReader:
    """Open the checkpoint of a storage, of either format.

    Args:
        weights_only: what `torch.load` may unpickle.

    Raises:
        WeightsError: there is no checkpoint.
        pickle.UnpicklingError: the checkpoint holds something that `weights_only` does not allow.
    """
    if isinstance(storage, LocalStorage):
        path = storage.locate()
        if path.is_file():
            return FileReader(path, weights_only)
        if not (path / METADATA_FILE).is_file():
            raise WeightsError(
                f"'{path}' does not point to a valid checkpoint: it is a folder without '{METADATA_FILE}'"
            )
        return DistributedReader(
            FileSystemReader(path), lambda _: _read_if_exists(path / META_FILE), weights_only
        )
    if storage.is_distributed():
        from planc.torch.compat import FsspecReader

        return DistributedReader(
            FsspecReader(storage.url, **storage.options),
            lambda token: _remote_meta(storage, token),
            weights_only,
        )
    if not storage.filesystem.isfile(storage.path):
        raise WeightsError(f"'{storage.url}' does not point to a valid checkpoint: there is none")
    return FileReader(_download(storage), weights_only, delete=True)


class DistributedReader(DcpSource):
    """Reads a folder of `torch.distributed.checkpoint`, one complete shard at a time."""

    def __init__(
        self,
        reader: FileSystemReader,
        read_meta: Callable[[str], bytes | None],
        weights_only: bool | None,
    ) -> None:
        """
        Args:
            reader: torch's reader of the folder.
            read_meta: the bytes of `meta.pt` for a save's token; None: there is no such file.
            weights_only: what `torch.load` may unpickle.
        """
        super().__init__(reader)
        self._read_meta, self._weights_only = read_meta, weights_only
        stored = self._metadata.state_dict_metadata
        values = self._values(
            [name for name, item in stored.items() if isinstance(item, BytesStorageMetadata)]
        )
        entries = {name: TensorEntry(name, shape, self._dtype(name)) for name, shape in self.shapes.items()}
        paths = self._metadata.planner_data or {name: (name,) for name in stored}
        self.tree: Tree = unflatten_state_dict({**values, **entries}, paths)

    def _dtype(self, name: str) -> torch.dtype:
        dtype: torch.dtype = self._tensors[name].properties.dtype
        return dtype

    def _values(self, names: list[str]) -> Tree:
        """Everything that is not a tensor: numbers of optimizers and their settings."""
        items = [_bytes_read_item(name) for name in names]
        planner: Any = _BytesCollector(self._weights_only)
        self._reader.read_data(LoadPlan(items), planner).wait()
        return dict(planner.values)

    def rest(self, used: Iterable[str]) -> Tree:
        storage_meta = self._metadata.storage_meta
        meta = self._read_meta((storage_meta.save_id if storage_meta is not None else None) or "")
        if meta is None:
            return {}
        loaded = torch.load(io.BytesIO(meta), map_location="cpu", weights_only=self._weights_only)
        tree: Tree = dict(loaded)
        return tree


class _BytesCollector:
    """The part of torch's LoadPlanner that takes pickled values."""

    def __init__(self, weights_only: bool | None) -> None:
        self._weights_only = weights_only
        self.values: Tree = {}

    def load_bytes(self, item: ReadItem, value: io.BytesIO) -> None:
        self.values[item.storage_index.fqn] = torch.load(value, weights_only=self._weights_only)


class FileReader:
    """Reads a file of `torch.save`, mapped into memory: the system reads only the pages that are used."""

    def __init__(self, path: Path, weights_only: bool | None, *, delete: bool = False) -> None:
        """
        Args:
            path: the file.
            weights_only: what `torch.load` may unpickle.
            delete: delete the file once it is mapped.
        """
        options: dict[str, Any] = {"map_location": "cpu", "weights_only": weights_only}
        try:
            try:
                self._contents = torch.load(path, mmap=True, **options)
            except RuntimeError:
                # The format of torch before 1.6 cannot be mapped.
                self._contents = torch.load(path, **options)
        finally:
            if delete:
                # What is mapped stays readable.
                path.unlink()
        if not isinstance(self._contents, Mapping):
            raise WeightsError(f"'{path}' does not hold a mapping")
        self._tensors: dict[str, Tensor] = {}
        self.tree: Tree = {
            str(key): map_leaves_with_paths(value, Tensor, self._entry, combine=with_dicts, path=(str(key),))
            for key, value in self._contents.items()
        }

    def _entry(self, path: TreePath, tensor: Tensor) -> TensorEntry:
        name = dotted(path)
        self._tensors[name] = tensor
        return TensorEntry(name, tuple(tensor.shape), tensor.dtype)

    def read_into(self, requests: Iterable[SliceRequest]) -> int:
        bytes_read = 0
        for request in requests:
            slices = tuple(slice(first, first + size) for first, size in request.bounds)
            source = self._tensors[request.name][slices]
            request.dest.copy_(source)
            bytes_read += source.nbytes
        return bytes_read

    def rest(self, used: Iterable[str]) -> Tree:
        excluded = set(used)
        return {key: value for key, value in self._contents.items() if key not in excluded}


def _bytes_read_item(name: str) -> ReadItem:
    index, nothing = MetadataIndex(name), torch.Size((0,))
    return ReadItem(LoadItemType.BYTE_IO, index, nothing, index, nothing, nothing)


def _read_if_exists(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _remote_meta(storage: RemoteStorage, token: str) -> bytes | None:
    """The bytes of `meta.pt` that belong to a save; other programs write it under one name."""
    for name in (meta_file_name(token), META_FILE):
        if storage.filesystem.exists(storage.file_path(name)):
            data: bytes = storage.filesystem.cat_file(storage.file_path(name))
            return data
    return None


def _download(storage: RemoteStorage) -> Path:
    """A temporary copy of a remote file on this machine."""
    descriptor, name = tempfile.mkstemp(prefix="planc-", suffix=".ckpt")
    os.close(descriptor)
    storage.filesystem.get_file(storage.path, name)
    return Path(name)
