"""Tensors inside of arguments and results, by their paths."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from planc.ir.errors import CallError
from planc.ir.tree import TreePath, dotted, get_at, map_at

TensorFunction = Callable[[Tensor], Tensor]


def map_tensor_at(item: Any, path: TreePath, function: TensorFunction) -> Any:
    """Arguments or a result with the tensor at a path changed; containers keep their types. Where no tensor stands
    there, nothing changes."""
    return map_at(item, path, Tensor, function)


def find_tensor(item: Any, path: TreePath) -> Tensor | None:
    """The tensor at a path; None where nothing is given.

    Raises:
        CallError: something else stands there.
    """
    found = item
    for key in path:
        if isinstance(found, tuple | list) and isinstance(key, int):
            found = found[key] if key < len(found) else None
        elif isinstance(found, Mapping):
            found = found.get(key)
        elif found is not None:
            raise _wrong_structure(path, found)
    if found is None or isinstance(found, Tensor):
        return found
    raise _wrong_structure(path, found)


def _wrong_structure(path: TreePath, found: Any) -> CallError:
    where = f"at '{dotted(path)}' of its arguments or its result" if path else "as its result"
    return CallError(
        f"planc: the plan is proved for a module with a tensor {where}, and this call has a {type(found).__name__} "
        "in its place; needed: a call like the captured one, or a capture with inputs like these"
    )


def has_tensor_at(item: Any, path: TreePath) -> bool:
    """Whether a tensor stands at a path."""
    return isinstance(get_at(item, path), Tensor)


def first_tensor_path(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> TreePath | None:
    """The path of the first tensor among arguments."""
    for i, item in enumerate(args):
        if isinstance(item, Tensor):
            return (i,)
    return next(((name,) for name, item in kwargs.items() if isinstance(item, Tensor)), None)
