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

from planc.ir.weights import WeightsError
from planc.torch.apply.boxes import Box
from planc.torch.weights.trees import Request

Shapes = Mapping[str, tuple[int, ...]]
_INDEX = "model.safetensors.index.json"


class Source(Protocol):
    """Where weights are read from."""

    @property
    def shapes(self) -> Shapes:
        """The whole shape of every tensor."""

    def fill(self, requests: Iterable[Request]) -> int:
        """Read slices into their places. Returns the bytes read."""


def opened(path: str | os.PathLike[str]) -> Source:
    """What lies at a path.

    Raises:
        WeightsError: nothing that could be read.
    """
    place = Path(path)
    if place.is_dir():
        if (place / ".metadata").exists():
            from planc.torch.weights.checkpoint import Checkpoint

            return Checkpoint(place)
        if (place / _INDEX).exists():
            return Safetensors(_indexed(place))
        return Safetensors(_all_of(place))
    if not place.exists():
        raise WeightsError(f"there is no file or folder '{place}'")
    return Safetensors([place]) if place.suffix == ".safetensors" else Saved(place)


def _indexed(folder: Path) -> list[Path]:
    index = json.loads((folder / _INDEX).read_text())
    files = [folder / name for name in sorted(set(index["weight_map"].values()))]
    missing = [f"there is no file '{file.name}'" for file in files if not file.exists()]
    if missing:
        raise WeightsError(f"'{folder}' is not complete:", missing)
    return files


def _all_of(folder: Path) -> list[Path]:
    whole = folder / "model.safetensors"
    files = [whole] if whole.exists() else sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(
            f"'{folder}' has neither safetensors files nor the metadata of a distributed checkpoint"
        )
    return files


class Safetensors:
    """Files of the safetensors format: a slice is read without what lies around it."""

    def __init__(self, files: list[Path]) -> None:
        try:
            from safetensors import safe_open
        except ImportError:
            raise WeightsError("to read safetensors files, install the package safetensors") from None
        handles: list[Any] = [safe_open(str(file), framework="pt", device="cpu") for file in files]
        self._slices: dict[str, Any] = {name: h.get_slice(name) for h in handles for name in h.keys()}  # noqa: SIM118
        self.shapes: Shapes = {name: tuple(s.get_shape()) for name, s in self._slices.items()}

    def fill(self, requests: Iterable[Request]) -> int:
        read = 0
        for request in requests:
            # A tensor without dims has no slices: all of it is asked for.
            own: Tensor = self._slices[request.name][_index(request.box) or ...]
            request.into.copy_(own)
            read += own.nbytes
        return read


class Saved:
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

    def fill(self, requests: Iterable[Request]) -> int:
        read = 0
        for request in requests:
            own = self._tensors[request.name][_index(request.box)]
            request.into.copy_(own)
            read += own.nbytes
        return read


def _index(box: Box) -> tuple[slice, ...]:
    return tuple(slice(first, first + size) for first, size in box)
