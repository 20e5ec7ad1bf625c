"""What rules read off the arguments of a call: dims, sizes, and tensors."""

from __future__ import annotations

from typing import Any

from planc.layouts.operation import Differs, NotKnown, Operand, Operation, Refused
from planc.layouts.types import LATE

Pair = tuple[int, int]
"""A number in the whole model, and on a rank."""

ALIASES = {"axis": "dim", "self": "input", "x": "input", "a": "input", "tensor": "input"}
"""Keywords that torch takes for others, some of them for the sake of NumPy."""
QUIET = ("dtype", "device", "layout", "pin_memory", "memory_format", "non_blocking")
"""Keywords that change no layout."""


def arguments(operation: Operation, *names: str, **defaults: Any) -> list[Any]:
    """As `Operation.bind`, under any of torch's names for a keyword."""
    known = (*names, *defaults)
    keywords = {
        ALIASES.get(name, name) if name not in known else name: value
        for name, value in operation.keywords.items()
        if name in known or name not in QUIET
    }
    same = Operation(operation.name, operation.arguments, keywords, operation.results, operation.ranks)
    return same.bind(*names, **defaults)


def listed(operation: Operation, name: str) -> tuple[Operand, tuple[Any, ...]]:
    """A tensor and a list, as in `x.view(2, 3)`, `x.view((2, 3))` and `x.view(size=(2, 3))`."""
    keywords = {ALIASES.get(key, key): value for key, value in operation.keywords.items()}
    items = operation.arguments
    if "input" in keywords:
        items = (keywords.pop("input"), *items)
    if not items:
        raise NotKnown(f"{operation.name} misses its tensor")
    first, rest = items[0], items[1:]
    if not rest and name in keywords:
        rest = (keywords.pop(name),)
    if keywords:
        raise NotKnown(f"the rule of {operation.name} does not know its argument '{next(iter(keywords))}'")
    return tensor(first), spread(rest)


def spread(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """A list that is given as one argument, or as several."""
    return items[0] if len(items) == 1 and isinstance(items[0], tuple) else items


def tensor(item: Any) -> Operand:
    """An argument that must be a tensor."""
    if not isinstance(item, Operand):
        raise NotKnown("a tensor was expected where there is none")
    if item.type is LATE:
        raise NotKnown("a bias that is added after the sum enters an operation of its own")
    return item


def pair(item: Any) -> Pair:
    """A whole number, in the whole model and on a rank."""
    item = (item.whole, item.local) if isinstance(item, Differs) else (item, item)
    if any(not isinstance(number, int) or isinstance(number, bool) for number in item):
        raise NotKnown("an argument is no whole number")
    return item  # type: ignore[no-any-return]


def integer(item: Any) -> int:
    """A whole number that is the same on every rank."""
    whole, local = pair(item)
    if whole != local:
        raise read(item)
    return whole


def read(item: Any) -> Refused:
    """The refusal of a number that is a rank's own."""
    text = item.text if isinstance(item, Differs) else "a number"
    numbers = (
        f": {item.local} on a rank, {item.whole} in the whole model" if isinstance(item, Differs) else ""
    )
    return Refused("size-read", f"{text} is used here{numbers}", "a number that is the same on every rank")


def dim_of(item: Any, ndim: int) -> int:
    """A dim, counted from the first."""
    number = integer(item)
    if not -ndim <= number < max(ndim, 1):
        raise NotKnown(f"dim {number} of a tensor that has {ndim}")
    return number + ndim if number < 0 else number


def dims_of(item: Any, ndim: int) -> tuple[int, ...]:
    """Several dims, or one."""
    return tuple(dim_of(one, ndim) for one in (item if isinstance(item, tuple) else (item,)))
