"""Lets code that knows fake tensors take the way that it takes in a training run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, autograd

from planc.torch.compat import SCRIPT_TYPES, DisableTorchFunction, FakeTensor
from planc.torch.models.compat import masking_module

_HALF: dict[tuple[int, ...], Tensor] = {shape: torch.full(shape, 0.5) for shape in ((), (1,))}


def pin_random_scalar(name: str, result: Any) -> None:
    """Let a single random number be one half, so that code can branch on it: layers that are
    left out with a small chance are there."""
    if name == "rand" and isinstance(result, FakeTensor) and result.dtype is torch.float32:
        result.constant = _HALF.get(tuple(result.shape))


@contextmanager
def record_opaque_functions(recorder: Any) -> Iterator[None]:
    """Let calls of `torch.autograd.Function`s be recorded as operations: what their forward
    computes says nothing of their gradient. And so calls of scripts: no mode sees into them."""
    original: Any = autograd.Function.__dict__["apply"]

    def apply(cls: type, *args: Any, **kwargs: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            with DisableTorchFunction():
                return original.__get__(None, cls)(*args, **kwargs)

        if not recorder.is_listening:
            return call(*args, **kwargs)
        return recorder.record(f"autograd.Function.{cls.__name__}", call, args, kwargs)

    function: Any = autograd.Function
    function.apply = classmethod(apply)
    scripts: dict[Any, Any] = {kind: kind.__call__ for kind in SCRIPT_TYPES}
    for kind, call in scripts.items():
        kind.__call__ = _told(call, recorder)
    try:
        yield
    finally:
        function.apply = original
        for kind, call in scripts.items():
            kind.__call__ = call


def _told(original: Any, recorder: Any) -> Any:
    """The call of a compiled script, as one operation."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not recorder.is_listening:
            return original(self, *args, **kwargs)

        def run(*args: Any, **kwargs: Any) -> Any:
            return original(self, *args, **kwargs)

        return recorder.record(f"jit.script.{self.name}", run, args, kwargs)

    return call


@contextmanager
def assume_unpacked_sequences(keywords: Mapping[str, Any]) -> Iterator[None]:
    """transformers looks whether position ids start anew in a row, as they do where several
    texts are packed into one; on fake tensors it cannot look, and assumes it. Nothing is
    packed where nobody gives position ids."""
    masks = masking_module()
    if masks is None or "position_ids" in keywords:
        yield
        return
    original = masks.find_packed_sequence_indices
    masks.find_packed_sequence_indices = lambda *_, **__: None
    try:
        yield
    finally:
        masks.find_packed_sequence_indices = original
