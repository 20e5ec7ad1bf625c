"""What lies in a checkpoint: a tree of names, in which tensors are read when somebody asks for slices."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.distributed.checkpoint._nested_dict import unflatten_state_dict
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import BytesStorageMetadata, MetadataIndex
from torch.distributed.checkpoint.planner import LoadItemType, LoadPlan, ReadItem

from planc.ir.errors import WeightsError
from planc.torch.checkpoints.storage import (
    META_FILE,
    METADATA_FILE,
    LocalStorage,
    RemoteStorage,
    meta_file_name,
)
from planc.torch.weights.dcp_source import DcpSource
from planc.torch.weights.tensor_exprs import SliceRequest

Tree = dict[str, Any]


class TensorEntry(NamedTuple):
    """A tensor in a checkpoint."""

    name: str
    """What it is asked for by."""
    shape: tuple[int, ...]
    dtype: torch.dtype


class CheckpointReader(Protocol):
    """A checkpoint that can be read from."""

    tree: Tree
    """Values, and a `Slot` for each tensor, by key."""

    def read_into(self, requests: Iterable[SliceRequest]) -> int:
        """Read slices into their places. Returns the bytes read."""

    def rest(self, used: Iterable[str]) -> Tree:
        """All but the states under the given keys."""


def open_checkpoint(storage: LocalStorage | RemoteStorage, weights_only: bool | None) -> CheckpointReader:
    """What lies at a place.

    Raises:
        WeightsError: no checkpoint.
        pickle.UnpicklingError: something that `weights_only` does not allow.
    """
    if isinstance(storage, LocalStorage):
        found = storage.locate()
        if found.is_file():
            return FileReader(found, weights_only)
        if not (found / METADATA_FILE).is_file():
            raise WeightsError(
                f"'{found}' does not point to a valid checkpoint: it is a folder without '{METADATA_FILE}'"
            )
        return DistributedReader(
            FileSystemReader(found), lambda _: _read_if_exists(found / META_FILE), weights_only
        )
    if storage.is_distributed():
        from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader

        return DistributedReader(
            FsspecReader(storage.url, **storage.options),
            lambda token: _remote_meta(storage, token),
            weights_only,
        )
    if not storage.filesystem.isfile(storage.path):
        raise WeightsError(f"'{storage.url}' does not point to a valid checkpoint: there is none")
    return FileReader(_download(storage), weights_only, mine=True)


class DistributedReader(DcpSource):
    """A folder of `torch.distributed.checkpoint`. Stored shards are read whole, one at a time."""

    def __init__(
        self,
        reader: FileSystemReader,
        meta: Callable[[str], bytes | None],
        weights_only: bool | None,
    ) -> None:
        super().__init__(reader)
        self._read_meta, self._weights_only = meta, weights_only
        held = self._metadata.state_dict_metadata
        values = self._values([name for name, it in held.items() if isinstance(it, BytesStorageMetadata)])
        slots = {name: TensorEntry(name, shape, self._dtype(name)) for name, shape in self.shapes.items()}
        paths = self._metadata.planner_data or {name: (name,) for name in held}
        self.tree: Tree = unflatten_state_dict({**values, **slots}, paths)

    def _dtype(self, name: str) -> torch.dtype:
        found: torch.dtype = self._known[name].properties.dtype
        return found

    def _values(self, names: list[str]) -> Tree:
        """What is no tensor: numbers of optimizers and their settings."""
        items = [_bytes_read_item(name) for name in names]
        planner: Any = _BytesCollector(self._weights_only)
        self._reader.read_data(LoadPlan(items), planner).wait()
        return dict(planner.values)

    def rest(self, used: Iterable[str]) -> Tree:
        said = self._metadata.storage_meta
        meta = self._read_meta((said.save_id if said is not None else None) or "")
        if meta is None:
            return {}
        loaded = torch.load(io.BytesIO(meta), map_location="cpu", weights_only=self._weights_only)
        found: Tree = dict(loaded)
        return found


class _BytesCollector:
    """Takes what the reader finds."""

    def __init__(self, weights_only: bool | None) -> None:
        self._weights_only = weights_only
        self.values: Tree = {}

    def load_bytes(self, item: ReadItem, value: io.BytesIO) -> None:
        self.values[item.storage_index.fqn] = torch.load(value, weights_only=self._weights_only)


class FileReader:
    """A file of `torch.save`, mapped into memory: only what is used is read."""

    def __init__(self, path: Path, weights_only: bool | None, *, mine: bool = False) -> None:
        said: dict[str, Any] = {"map_location": "cpu", "weights_only": weights_only}
        try:
            try:
                self._contents = torch.load(path, mmap=True, **said)
            except RuntimeError:
                # Torch's format of old cannot be mapped.
                self._contents = torch.load(path, **said)
        finally:
            if mine:
                # What is mapped stays readable.
                path.unlink()
        if not isinstance(self._contents, Mapping):
            raise WeightsError(f"'{path}' does not hold anything by name")
        self._tensors: dict[str, Tensor] = {}
        self.tree: Tree = {str(key): self._entries(value, str(key)) for key, value in self._contents.items()}

    def _entries(self, value: Any, name: str) -> Any:
        if isinstance(value, Tensor):
            self._tensors[name] = value
            return TensorEntry(name, tuple(value.shape), value.dtype)
        if isinstance(value, Mapping):
            return {key: self._entries(item, f"{name}.{key}") for key, item in value.items()}
        if isinstance(value, list) or type(value) is tuple:
            return type(value)(self._entries(item, f"{name}.{i}") for i, item in enumerate(value))
        return value

    def read_into(self, requests: Iterable[SliceRequest]) -> int:
        read = 0
        for request in requests:
            own = self._tensors[request.name][tuple(slice(first, first + n) for first, n in request.bounds)]
            request.dest.copy_(own)
            read += own.nbytes
        return read

    def rest(self, used: Iterable[str]) -> Tree:
        away = set(used)
        return {key: value for key, value in self._contents.items() if key not in away}


def _bytes_read_item(name: str) -> ReadItem:
    index, nothing = MetadataIndex(name), torch.Size((0,))
    return ReadItem(LoadItemType.BYTE_IO, index, nothing, index, nothing, nothing)


def _read_if_exists(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _remote_meta(spot: RemoteStorage, token: str) -> bytes | None:
    """The rest that belongs to the tensors; a checkpoint of others has one name for it."""
    for name in (meta_file_name(token), META_FILE):
        if spot.filesystem.exists(spot.file_path(name)):
            found: bytes = spot.filesystem.cat_file(spot.file_path(name))
            return found
    return None


def _download(spot: RemoteStorage) -> Path:
    """A copy of a remote file on this machine."""
    number, name = tempfile.mkstemp(prefix="planc-", suffix=".ckpt")
    os.close(number)
    spot.filesystem.get_file(spot.path, name)
    return Path(name)
