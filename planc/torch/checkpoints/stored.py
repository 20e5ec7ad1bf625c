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

from planc.ir.weights import WeightsError
from planc.torch.checkpoints.places import META, METADATA, Local, Remote, meta_of
from planc.torch.weights.checkpoint import Checkpoint
from planc.torch.weights.trees import Request

Tree = dict[str, Any]


class Slot(NamedTuple):
    """A tensor in a checkpoint."""

    name: str
    """What it is asked for by."""
    shape: tuple[int, ...]
    dtype: torch.dtype


class Stored(Protocol):
    """A checkpoint that can be read from."""

    tree: Tree
    """Values, and a `Slot` for each tensor, by key."""

    def fill(self, requests: Iterable[Request]) -> int:
        """Read slices into their places. Returns the bytes read."""

    def rest(self, used: Iterable[str]) -> Tree:
        """All but the states under the given keys."""


def stored(spot: Local | Remote, weights_only: bool | None) -> Stored:
    """What lies at a place.

    Raises:
        WeightsError: no checkpoint.
        pickle.UnpicklingError: something that `weights_only` does not allow.
    """
    if isinstance(spot, Local):
        found = spot.found()
        if found.is_file():
            return File(found, weights_only)
        if not (found / METADATA).is_file():
            raise WeightsError(
                f"'{found}' does not point to a valid checkpoint: it is a folder without '{METADATA}'"
            )
        return Folder(FileSystemReader(found), lambda _: _bytes(found / META), weights_only)
    if spot.is_folder():
        from torch.distributed.checkpoint._fsspec_filesystem import FsspecReader

        return Folder(FsspecReader(spot.url, **spot.options), lambda token: _sent(spot, token), weights_only)
    if not spot.files.isfile(spot.path):
        raise WeightsError(f"'{spot.url}' does not point to a valid checkpoint: there is none")
    return File(_fetched(spot), weights_only, mine=True)


class Folder(Checkpoint):
    """A folder of `torch.distributed.checkpoint`. Stored shards are read whole, one at a time."""

    def __init__(
        self,
        reader: FileSystemReader,
        meta: Callable[[str], bytes | None],
        weights_only: bool | None,
    ) -> None:
        super().__init__(reader)
        self._meta, self._weights_only = meta, weights_only
        held = self._metadata.state_dict_metadata
        values = self._values([name for name, it in held.items() if isinstance(it, BytesStorageMetadata)])
        slots = {name: Slot(name, shape, self._dtype(name)) for name, shape in self.shapes.items()}
        paths = self._metadata.planner_data or {name: (name,) for name in held}
        self.tree: Tree = unflatten_state_dict({**values, **slots}, paths)

    def _dtype(self, name: str) -> torch.dtype:
        found: torch.dtype = self._known[name].properties.dtype
        return found

    def _values(self, names: list[str]) -> Tree:
        """What is no tensor: numbers of optimizers and their settings."""
        items = [_whole_item(name) for name in names]
        planner: Any = _Values(self._weights_only)
        self._reader.read_data(LoadPlan(items), planner).wait()
        return dict(planner.found)

    def rest(self, used: Iterable[str]) -> Tree:
        said = self._metadata.storage_meta
        meta = self._meta((said.save_id if said is not None else None) or "")
        if meta is None:
            return {}
        loaded = torch.load(io.BytesIO(meta), map_location="cpu", weights_only=self._weights_only)
        found: Tree = dict(loaded)
        return found


class _Values:
    """Takes what the reader finds."""

    def __init__(self, weights_only: bool | None) -> None:
        self._weights_only = weights_only
        self.found: Tree = {}

    def load_bytes(self, item: ReadItem, value: io.BytesIO) -> None:
        self.found[item.storage_index.fqn] = torch.load(value, weights_only=self._weights_only)


class File:
    """A file of `torch.save`, mapped into memory: only what is used is read."""

    def __init__(self, path: Path, weights_only: bool | None, *, mine: bool = False) -> None:
        said: dict[str, Any] = {"map_location": "cpu", "weights_only": weights_only}
        try:
            try:
                self._held = torch.load(path, mmap=True, **said)
            except RuntimeError:
                # Torch's format of old cannot be mapped.
                self._held = torch.load(path, **said)
        finally:
            if mine:
                # What is mapped stays readable.
                path.unlink()
        if not isinstance(self._held, Mapping):
            raise WeightsError(f"'{path}' does not hold anything by name")
        self._tensors: dict[str, Tensor] = {}
        self.tree: Tree = {str(key): self._slots(value, str(key)) for key, value in self._held.items()}

    def _slots(self, value: Any, name: str) -> Any:
        if isinstance(value, Tensor):
            self._tensors[name] = value
            return Slot(name, tuple(value.shape), value.dtype)
        if isinstance(value, Mapping):
            return {key: self._slots(item, f"{name}.{key}") for key, item in value.items()}
        if isinstance(value, list) or type(value) is tuple:
            return type(value)(self._slots(item, f"{name}.{i}") for i, item in enumerate(value))
        return value

    def fill(self, requests: Iterable[Request]) -> int:
        read = 0
        for request in requests:
            own = self._tensors[request.name][tuple(slice(first, first + n) for first, n in request.box)]
            request.into.copy_(own)
            read += own.nbytes
        return read

    def rest(self, used: Iterable[str]) -> Tree:
        away = set(used)
        return {key: value for key, value in self._held.items() if key not in away}


def _whole_item(name: str) -> ReadItem:
    index, nothing = MetadataIndex(name), torch.Size((0,))
    return ReadItem(LoadItemType.BYTE_IO, index, nothing, index, nothing, nothing)


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _sent(spot: Remote, token: str) -> bytes | None:
    """The rest that belongs to the tensors; a checkpoint of others has one name for it."""
    for name in (meta_of(token), META):
        if spot.files.exists(spot.at(name)):
            found: bytes = spot.files.cat_file(spot.at(name))
            return found
    return None


def _fetched(spot: Remote) -> Path:
    """A copy of a remote file on this machine."""
    number, name = tempfile.mkstemp(prefix="planc-", suffix=".ckpt")
    os.close(number)
    spot.files.get_file(spot.path, name)
    return Path(name)
