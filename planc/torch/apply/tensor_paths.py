"""Tensors inside of arguments and results, by their paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from planc.ir.tree import TreePath, get_at, map_at

TensorFunction = Callable[[Tensor], Tensor]


def map_tensor_at(item: Any, path: TreePath, function: TensorFunction) -> Any:
    """Arguments or a result with the tensor at a path changed; containers keep their types. Where no tensor stands
    there, nothing changes."""
    return map_at(item, path, Tensor, function)


def has_tensor_at(item: Any, path: TreePath) -> bool:
    """Whether a tensor stands at a path."""
    return isinstance(get_at(item, path), Tensor)


def first_tensor_path(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> TreePath | None:
    """The path of the first tensor among arguments."""
    for i, item in enumerate(args):
        if isinstance(item, Tensor):
            return (i,)
    return next(((name,) for name, item in kwargs.items() if isinstance(item, Tensor)), None)
