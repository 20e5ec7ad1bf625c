"""Where, in what a model returns, is what the loss is computed from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from planc.ir.graph import Function, TensorInfo, Value
from planc.layouts.prove import is_logits

Steps = tuple[str | int, ...]


def logits_of(main: Function) -> tuple[Steps, TensorInfo] | None:
    """The steps into the result, and the tensor there; None: there is none, or it is not clear which."""
    places = {".".join(map(str, steps)): (steps, main.tensors[n]) for steps, n in _places(main.result, ())}
    infos = {name: info for name, (_, info) in places.items()}
    return next((place for name, place in places.items() if is_logits(name, infos)), None)


def _places(result: Any, steps: Steps) -> Iterator[tuple[Steps, int]]:
    if isinstance(result, Value):
        yield steps, result.number
    elif isinstance(result, tuple | Mapping):
        items = result.items() if isinstance(result, Mapping) else enumerate(result)
        for key, part in items:
            yield from _places(part, (*steps, key))
