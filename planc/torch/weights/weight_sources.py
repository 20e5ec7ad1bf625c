"""Files with weights: names, shapes, and slices read on demand."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from planc.ir.errors import WeightsError
from planc.torch.apply.local_slice import SliceBounds
from planc.torch.weights.tensor_exprs import SliceRequest

Shapes = Mapping[str, tuple[int, ...]]
_INDEX_FILE = "model.safetensors.index.json"


class WeightSource(Protocol):
    """Where weights are read from."""

    @property
    def shapes(self) -> Shapes:
        """The whole shape of every tensor."""

    def read_into(self, requests: Iterable[SliceRequest]) -> int:
        """Read slices into their places. Returns the bytes read."""


def open_source(path: str | os.PathLike[str]) -> WeightSource:
    """What lies at a path.

    Raises:
        WeightsError: nothing that could be read.
    """
    place = Path(path)
    if place.is_dir():
        if (place / ".metadata").exists():
            from planc.torch.weights.dcp_source import DcpSource

            return DcpSource(place)
        if (place / _INDEX_FILE).exists():
            return SafetensorsSource(_files_of_index(place))
        return SafetensorsSource(_safetensors_files(place))
    if not place.exists():
        raise WeightsError(f"there is no file or folder '{place}'")
    return SafetensorsSource([place]) if place.suffix == ".safetensors" else TorchSaveSource(place)


def _files_of_index(folder: Path) -> list[Path]:
    index = json.loads((folder / _INDEX_FILE).read_text())
    files = [folder / name for name in sorted(set(index["weight_map"].values()))]
    missing = [f"there is no file '{file.name}'" for file in files if not file.exists()]
    if missing:
        raise WeightsError(f"'{folder}' is not complete:", missing)
    return files


def _safetensors_files(folder: Path) -> list[Path]:
    whole = folder / "model.safetensors"
    files = [whole] if whole.exists() else sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(
            f"'{folder}' has neither safetensors files nor the metadata of a distributed checkpoint"
        )
    return files


class SafetensorsSource:
    """Files of the safetensors format: a slice is read without what lies around it."""

    def __init__(self, files: list[Path]) -> None:
        try:
            from safetensors import safe_open
        except ImportError:
            raise WeightsError("to read safetensors files, install the package safetensors") from None
        handles: list[Any] = [safe_open(str(file), framework="pt", device="cpu") for file in files]
        self._slices: dict[str, Any] = {name: h.get_slice(name) for h in handles for name in h.keys()}  # noqa: SIM118
        self.shapes: Shapes = {name: tuple(s.get_shape()) for name, s in self._slices.items()}

    def read_into(self, requests: Iterable[SliceRequest]) -> int:
        read = 0
        for request in requests:
            # A tensor without dims has no slices: all of it is asked for.
            own: Tensor = self._slices[request.name][_slices_of(request.bounds) or ...]
            request.dest.copy_(own)
            read += own.nbytes
        return read


class TorchSaveSource:
    """A file of `torch.save`: tensors by name, mapped into memory, so that only what is used is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.shapes: Shapes = {name: tuple(value.shape) for name, value in self._tensors.items()}

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        said: dict[str, Any] = {"map_location": "cpu", "weights_only": True}
        try:
            held = torch.load(self._path, mmap=True, **said)
        except RuntimeError:
            # Torch's format of old cannot be mapped.
            held = torch.load(self._path, **said)
        while isinstance(held, Mapping):
            tensors = {str(n): v for n, v in held.items() if isinstance(v, Tensor)}
            inner = held.get("state_dict", held.get("model"))
            if tensors or not isinstance(inner, Mapping):
                return tensors
            held = inner
        raise WeightsError(f"'{self._path}' does not hold tensors by name")

    def read_into(self, requests: Iterable[SliceRequest]) -> int:
        read = 0
        for request in requests:
            own = self._tensors[request.name][_slices_of(request.bounds)]
            request.dest.copy_(own)
            read += own.nbytes
        return read


def _slices_of(bounds: SliceBounds) -> tuple[slice, ...]:
    return tuple(slice(first, first + size) for first, size in bounds)
