"""Functions of torch that the recorder looks into: as one operation they would say too little."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.nn import functional

_FUNCTIONAL: Any = functional
_DECOMPOSED = (functional.multi_head_attention_forward,)


def is_decomposed(function: Callable[..., Any]) -> bool:
    """Whether the recorder sees the operations of a function instead of the function."""
    return function in _DECOMPOSED


@contextmanager
def decomposed() -> Iterator[None]:
    """Let such a function run, where it would pass itself to the recorder a second time."""
    original = _FUNCTIONAL.has_torch_function
    _FUNCTIONAL.has_torch_function = lambda _: False
    try:
        yield
    finally:
        _FUNCTIONAL.has_torch_function = original
