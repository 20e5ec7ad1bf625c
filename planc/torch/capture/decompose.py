"""Functions of torch that are looked into: one operation for them would say too little."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.nn import functional

_FUNCTIONAL: Any = functional

_COMPOSITE = (functional.multi_head_attention_forward,)


def is_decomposed(function: Callable[..., Any]) -> bool:
    return function in _COMPOSITE


@contextmanager
def decomposed() -> Iterator[None]:
    """Let such a function run rather than hand itself to the recorder again."""
    original = _FUNCTIONAL.has_torch_function
    _FUNCTIONAL.has_torch_function = lambda _: False
    try:
        yield
    finally:
        _FUNCTIONAL.has_torch_function = original
