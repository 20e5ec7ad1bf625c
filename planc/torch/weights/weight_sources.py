"""Files of weights: names, shapes, and slices that are read on demand."""

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
from planc.regular_files import check_regular_file
from planc.torch.apply.local_slice import SliceBounds
from planc.torch.weights.tensor_exprs import SliceRequest

Shapes = Mapping[str, tuple[int, ...]]
_INDEX_FILE = "model.safetensors.index.json"


class WeightSource(Protocol):
    """A file or folder of weights."""

    @property
    def shapes(self) -> Shapes:
        """The shapes of all tensors, by name."""

    def read_into(self, requests: Iterable[SliceRequest]) -> int:
        """Read slices into the memory that the requests name. Returns the bytes read."""


def open_source(path: str | os.PathLike[str]) -> WeightSource:
    """The source at a path.

    Raises:
        WeightsError: there is nothing that planc can read.
    """
    location = Path(path)
    if location.is_dir():
        if (location / ".metadata").is_file():
            from planc.torch.weights.dcp_source import DcpSource

            return DcpSource(location)
        if (location / _INDEX_FILE).exists():
            return SafetensorsSource(_files_of_index(location))
        return SafetensorsSource(_safetensors_files(location))
    if not location.exists():
        raise WeightsError(f"there is no file or folder '{location}'")
    _check_files([location])
    return SafetensorsSource([location]) if location.suffix == ".safetensors" else TorchSaveSource(location)


def _files_of_index(folder: Path) -> list[Path]:
    _check_files([folder / _INDEX_FILE])
    index = json.loads((folder / _INDEX_FILE).read_text())
    files = [folder / name for name in sorted(set(index["weight_map"].values()))]
    missing = [f"there is no file '{file.name}'" for file in files if not file.exists()]
    if missing:
        raise WeightsError(f"'{folder}' is not complete:", missing)
    _check_files(files)
    return files


def _safetensors_files(folder: Path) -> list[Path]:
    single = folder / "model.safetensors"
    files = [single] if single.exists() else sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(
            f"'{folder}' has neither safetensors files nor the metadata of a distributed checkpoint"
        )
    _check_files(files)
    return files


def _check_files(files: Iterable[Path]) -> None:
    """Refuse pipes and devices: reading them may never end.

    Raises:
        WeightsError: one of the paths is no regular file.
    """
    for file in files:
        try:
            check_regular_file(file)
        except OSError as bad:
            raise WeightsError(f"'{file}' {(bad.strerror or str(bad)).lower()}") from None


class SafetensorsSource:
    """Files of the safetensors format: planc reads only the bytes of a slice."""

    def __init__(self, files: list[Path]) -> None:
        try:
            from safetensors import safe_open
        except ImportError:
            raise WeightsError(
                "planc needs the package safetensors to read safetensors files: pip install safetensors"
            ) from None
        handles: list[Any] = [safe_open(str(file), framework="pt", device="cpu") for file in files]
        self._slices: dict[str, Any] = {name: h.get_slice(name) for h in handles for name in h.keys()}  # noqa: SIM118
        self.shapes: Shapes = {name: tuple(s.get_shape()) for name, s in self._slices.items()}

    def read_into(self, requests: Iterable[SliceRequest]) -> int:
        read = 0
        for request in requests:
            # A scalar has no slices: it is read as it is.
            value: Tensor = self._slices[request.name][_slices_of(request.bounds) or ...]
            request.dest.copy_(value)
            read += value.nbytes
        return read


class TorchSaveSource:
    """A file of `torch.save` with tensors by name, mapped into memory: only the bytes that are used are read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.shapes: Shapes = {name: tuple(value.shape) for name, value in self._tensors.items()}

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        options: dict[str, Any] = {"map_location": "cpu", "weights_only": True}
        try:
            content = torch.load(self._path, mmap=True, **options)
        except RuntimeError:
            # Torch's old format cannot be mapped.
            content = torch.load(self._path, **options)
        while isinstance(content, Mapping):
            tensors = {str(n): v for n, v in content.items() if isinstance(v, Tensor)}
            inner = content.get("state_dict", content.get("model"))
            if tensors or not isinstance(inner, Mapping):
                return tensors
            content = inner
        raise WeightsError(f"'{self._path}' does not contain tensors by name")

    def read_into(self, requests: Iterable[SliceRequest]) -> int:
        read = 0
        for request in requests:
            value = self._tensors[request.name][_slices_of(request.bounds)]
            request.dest.copy_(value)
            read += value.nbytes
        return read


def _slices_of(bounds: SliceBounds) -> tuple[slice, ...]:
    return tuple(slice(first, first + size) for first, size in bounds)
