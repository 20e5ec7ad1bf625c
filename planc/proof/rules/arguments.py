"""What rules read off the arguments of a call: dims, sizes, and tensors."""

from __future__ import annotations

from typing import Any

from planc.proof.rules.operation import Operand, Operation, RankDependent, RuleViolation, Unsupported
from planc.proof.types import DEFERRED_BIAS
from planc.proof.violations import SizeRead

GlobalAndLocal = tuple[int, int]
"""A number in the whole model, and on a rank."""

KEYWORD_ALIASES = {"axis": "dim", "self": "input", "x": "input", "a": "input", "tensor": "input"}
"""Keywords that torch takes for others, some of them for the sake of NumPy."""
LAYOUT_NEUTRAL_KEYWORDS = ("dtype", "device", "layout", "pin_memory", "memory_format", "non_blocking")
"""Keywords that change no layout."""


def bind_with_aliases(operation: Operation, *names: str, **defaults: Any) -> list[Any]:
    """As `Operation.bind`, under any of torch's names for a keyword."""
    known = (*names, *defaults)
    keywords = {
        KEYWORD_ALIASES.get(name, name) if name not in known else name: value
        for name, value in operation.keywords.items()
        if name in known or name not in LAYOUT_NEUTRAL_KEYWORDS
    }
    same = Operation(operation.name, operation.arguments, keywords, operation.results, operation.ranks)
    return same.bind_arguments(*names, **defaults)


def tensor_and_varargs(operation: Operation, name: str) -> tuple[Operand, tuple[Any, ...]]:
    """A tensor and a list, as in `x.view(2, 3)`, `x.view((2, 3))` and `x.view(size=(2, 3))`."""
    keywords = {KEYWORD_ALIASES.get(key, key): value for key, value in operation.keywords.items()}
    items = operation.arguments
    if "input" in keywords:
        items = (keywords.pop("input"), *items)
    if not items:
        raise Unsupported(f"{operation.name} misses its tensor")
    first, rest = items[0], items[1:]
    if not rest and name in keywords:
        rest = (keywords.pop(name),)
    if keywords:
        raise Unsupported(f"the rule of {operation.name} does not know its argument '{next(iter(keywords))}'")
    return as_operand(first), unpack_varargs(rest)


def unpack_varargs(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """A list that is given as one argument, or as several."""
    return items[0] if len(items) == 1 and isinstance(items[0], tuple) else items


def as_operand(item: Any) -> Operand:
    """An argument that must be a tensor."""
    if not isinstance(item, Operand):
        raise Unsupported("a tensor was expected where there is none")
    if item.type is DEFERRED_BIAS:
        raise Unsupported("a bias that is added after the sum enters an operation of its own")
    return item


def global_and_local(item: Any) -> GlobalAndLocal:
    """A whole number, in the whole model and on a rank."""
    item = (item.global_value, item.local_value) if isinstance(item, RankDependent) else (item, item)
    if any(not isinstance(number, int) or isinstance(number, bool) for number in item):
        raise Unsupported("an argument is no whole number")
    return item  # type: ignore[no-any-return]


def rank_invariant_int(item: Any) -> int:
    """A whole number that is the same on every rank."""
    whole, local = global_and_local(item)
    if whole != local:
        raise size_read_violation(item)
    return whole


def size_read_violation(item: Any) -> RuleViolation:
    """The violation of an argument that differs between ranks and the whole model."""
    if not isinstance(item, RankDependent):
        return RuleViolation(SizeRead(None, None, None, in_argument=True))
    return RuleViolation(SizeRead(item.source, item.global_value, item.local_value, in_argument=True))


def normalize_dim(item: Any, ndim: int) -> int:
    """A dim, counted from the first."""
    number = rank_invariant_int(item)
    if not -ndim <= number < max(ndim, 1):
        raise Unsupported(f"dim {number} of a tensor that has {ndim}")
    return number + ndim if number < 0 else number


def normalize_dims(item: Any, ndim: int) -> tuple[int, ...]:
    """Several dims, or one."""
    return tuple(normalize_dim(one, ndim) for one in (item if isinstance(item, tuple) else (item,)))
