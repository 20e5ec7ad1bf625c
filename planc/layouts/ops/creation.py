"""Operations that make tensors of plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planc.layouts.arguments import pair, read, spread, tensor
from planc.layouts.operation import Differs, NotKnown, Operand, Operation
from planc.layouts.ops import rule
from planc.layouts.types import CONSTANT, PARTIAL, WHOLE, Type, counted, split

QUIET = ("dtype", "device", "layout", "pin_memory", "memory_format", "out", "names")


def keywords(operation: Operation, *known: str) -> dict[str, Any]:
    """The keywords that say what is made; the result has no gradient of its own."""
    left = {
        n: v
        for n, v in operation.keywords.items()
        if n not in QUIET or (n in ("out", "names") and v is not None)
    }
    if left.pop("requires_grad", False) is not False or any(result.grad for result in operation.results):
        raise NotKnown(f"{operation.name} makes a tensor that takes a gradient")
    for name in left:
        if name not in known:
            raise NotKnown(f"the rule of {operation.name} does not know its argument '{name}'")
    return left


def made(sizes: Sequence[Any], operation: Operation) -> Type:
    """The type of a tensor with the same number everywhere: of these sizes, each rank's own."""
    if len(sizes) != len(operation.results[0].shape):
        raise NotKnown(f"{operation.name} with {len(sizes)} sizes")
    unlike = [d for d, item in enumerate(sizes) if pair(item)[0] != pair(item)[1]]
    if not unlike:
        return CONSTANT
    whole, local = pair(sizes[unlike[0]])
    if len(unlike) > 1 or whole != local * operation.ranks:
        raise read(sizes[unlike[-1]])
    return split(unlike[0])


@rule("zeros", "ones", "empty", sizes=True)
def zeros(operation: Operation) -> Type:
    """(2, 3) -> a tensor of that shape"""
    given = keywords(operation, "size")
    return made(spread((given["size"],) if "size" in given else operation.arguments), operation)


@rule("full", sizes=True)
def full(operation: Operation) -> Type:
    """(2, 3), a number -> a tensor of that shape"""
    given = keywords(operation, "size", "fill_value")
    return _filled(operation, operation.arguments, given)


@rule("new_zeros", "new_ones", "new_empty", sizes=True)
def new_zeros(operation: Operation) -> Type:
    """x, (2, 3) -> a tensor of that shape"""
    given = keywords(operation, "size")
    return made(spread((given["size"],) if "size" in given else operation.arguments[1:]), operation)


@rule("new_full", sizes=True)
def new_full(operation: Operation) -> Type:
    """x, (2, 3), a number -> a tensor of that shape"""
    given = keywords(operation, "size", "fill_value")
    return _filled(operation, operation.arguments[1:], given)


def _filled(operation: Operation, given: tuple[Any, ...], named: dict[str, Any]) -> Type:
    rest = list(given)
    size = named["size"] if "size" in named else rest.pop(0)
    value = named["fill_value"] if "fill_value" in named else rest.pop(0)
    _plain(value)
    if rest:
        raise NotKnown(f"{operation.name} takes more arguments than its rule knows")
    return made(spread((size,)), operation)


def _plain(item: Any) -> None:
    """Refuse what is not plain numbers, the same on every rank."""
    if isinstance(item, Differs):
        raise read(item)
    if isinstance(item, Operand):
        if item.type is not CONSTANT or item.shape:
            raise NotKnown("a tensor is made from the numbers of another one")
    elif isinstance(item, tuple):
        for part in item:
            _plain(part)
    elif not isinstance(item, int | float | complex):
        raise NotKnown("a tensor is made from what is no number")


@rule("zeros_like", "ones_like", "empty_like")
def zeros_like(operation: Operation) -> Type:
    """x (a, b) -> a tensor of that shape"""
    keywords(operation)
    (x,) = operation.arguments
    return CONSTANT if tensor(x).type in (*WHOLE, PARTIAL) else x.type


@rule("full_like")
def full_like(operation: Operation) -> Type:
    """x (a, b), a number -> a tensor of that shape"""
    given = keywords(operation, "fill_value")
    x, *rest = operation.arguments
    for value in (*rest, *given.values()):
        _plain(value)
    return CONSTANT if tensor(x).type in (*WHOLE, PARTIAL) else x.type


@rule("arange", sizes=True)
def arange(operation: Operation) -> Type:
    """n -> 0, 1, ..., n - 1; of a rank's own size, what each rank counts from its own start"""
    given = keywords(operation, "start", "end", "step")
    end = operation.arguments[0] if len(operation.arguments) == 1 and not given else None
    if isinstance(end, Differs) and end.local is not None and end.whole == end.local * operation.ranks:
        text = f"positions that each rank counts from its own start, up to {end.text}"
        return counted(0, int(end.whole), text)
    return _constant(operation)


@rule("tensor", "scalar_tensor", "range", "linspace", "logspace", "eye",
      "tril_indices", "triu_indices", "hann_window", "hamming_window")  # fmt: skip
def numbers(operation: Operation) -> Type:
    """Numbers of the code -> a tensor of them: what each rank makes is the same"""
    return _constant(operation)


def _constant(operation: Operation) -> Type:
    known = ("start", "end", "step", "steps", "n", "m", "data", "base", "row", "col", "offset")
    given = keywords(operation, *known)
    _plain((*operation.arguments, *(value for value in given.values() if value is not None)))
    return CONSTANT


@rule("new_tensor")
def new_tensor(operation: Operation) -> Type:
    """x, numbers of the code -> a tensor of them"""
    given = keywords(operation, "data")
    _plain((*operation.arguments[1:], *given.values()))
    return CONSTANT
