"""Where, in what a model returns, is what the loss is computed from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from planc.ir.graph import Function, TensorInfo, Value
from planc.proof.prove import is_logits

TensorPath = tuple[str | int, ...]


def find_logits(main: Function) -> tuple[TensorPath, TensorInfo] | None:
    """The steps into the result, and the tensor there; None: there is none, or it is not clear which."""
    places = {
        ".".join(map(str, steps)): (steps, main.tensors[n]) for steps, n in _tensor_paths(main.result, ())
    }
    infos = {name: info for name, (_, info) in places.items()}
    return next((place for name, place in places.items() if is_logits(name, infos)), None)


def _tensor_paths(result: Any, steps: TensorPath) -> Iterator[tuple[TensorPath, int]]:
    if isinstance(result, Value):
        yield steps, result.number
    elif isinstance(result, tuple | Mapping):
        items = result.items() if isinstance(result, Mapping) else enumerate(result)
        for key, part in items:
            yield from _tensor_paths(part, (*steps, key))
