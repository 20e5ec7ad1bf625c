"""Arguments of a call as rules need them: tensors, dims and sizes."""

from __future__ import annotations

from typing import Any

from planc.proof.rules.operation import Operand, Operation, RankDependent, RuleViolation, Unsupported
from planc.proof.types import DEFERRED_BIAS
from planc.proof.violations import SizeRead

GlobalAndLocal = tuple[int, int]
"""A number's value in the whole model, and on a rank."""

KEYWORD_ALIASES = {"axis": "dim", "self": "input", "x": "input", "a": "input", "tensor": "input"}
"""Other names that torch accepts for a keyword, some of them for NumPy's sake."""
_REDUCTION_ALIASES = {"axis": "dim", "keepdims": "keepdim"}
LAYOUT_NEUTRAL_KEYWORDS = ("dtype", "device", "layout", "pin_memory", "memory_format", "non_blocking")
"""Keywords that change no layout."""


def bind_with_aliases(operation: Operation, *names: str, **defaults: Any) -> list[Any]:
    """As `Operation.bind_arguments`, under any of torch's names for a keyword, and without keywords that
    change no layout."""
    known = (*names, *defaults)
    keywords = {
        name if name in known else KEYWORD_ALIASES.get(name, name): value
        for name, value in operation.keywords.items()
        if name in known or name not in LAYOUT_NEUTRAL_KEYWORDS
    }
    return operation.with_arguments(operation.arguments, keywords).bind_arguments(*names, **defaults)


def bind_ignoring(operation: Operation, *names: str, ignored: tuple[str, ...]) -> list[Any]:
    """The arguments by position or keyword; missing ones are None.

    Args:
        operation: the call.
        names: the arguments that the rule reads, in the order of their positions.
        ignored: further arguments, which change no layout.

    Raises:
        Unsupported: the call has another argument.
    """
    keywords = {_REDUCTION_ALIASES.get(name, name): value for name, value in operation.keywords.items()}
    for name, value in keywords.items():
        if name not in (*names, *ignored) and value is not None and value is not False:
            raise Unsupported(f"the rule of {operation.name} does not know the argument '{name}'")
    if len(operation.arguments) > len(names) + len(ignored):
        raise Unsupported(f"{operation.name} has more arguments than its rule knows")
    given = dict(zip(names, operation.arguments, strict=False)) | keywords
    return [given.get(name) for name in names]


def tensor_and_varargs(operation: Operation, name: str) -> tuple[Operand, tuple[Any, ...]]:
    """The tensor and the numbers of `x.view(2, 3)`, `x.view((2, 3))` or `x.view(size=(2, 3))`.

    Raises:
        Unsupported: the call lacks its tensor, or has an argument that the rule does not know.
    """
    keywords = {KEYWORD_ALIASES.get(key, key): value for key, value in operation.keywords.items()}
    items = operation.arguments
    if "input" in keywords:
        items = (keywords.pop("input"), *items)
    if not items:
        raise Unsupported(f"{operation.name} lacks its tensor")
    first, rest = items[0], items[1:]
    if not rest and name in keywords:
        rest = (keywords.pop(name),)
    if keywords:
        raise Unsupported(f"the rule of {operation.name} does not know the argument '{next(iter(keywords))}'")
    return as_operand(first), unpack_varargs(rest)


def unpack_varargs(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """Numbers that are given as one tuple, or as several arguments."""
    return items[0] if len(items) == 1 and isinstance(items[0], tuple) else items


def as_operand(item: Any) -> Operand:
    """An argument that must be a tensor.

    Raises:
        Unsupported: it is none, or a bias that the module's boundary adds.
    """
    if not isinstance(item, Operand):
        raise Unsupported("an argument is not the tensor that the rule expects")
    if item.type is DEFERRED_BIAS:
        raise Unsupported("the operation takes a bias that its module adds only after the sum")
    return item


def global_and_local(item: Any) -> GlobalAndLocal:
    """The values of an integer in the whole model and on a rank.

    Raises:
        Unsupported: it is not an integer.
    """
    item = (item.global_value, item.local_value) if isinstance(item, RankDependent) else (item, item)
    if any(not isinstance(number, int) or isinstance(number, bool) for number in item):
        raise Unsupported("an argument is not an integer")
    return item  # type: ignore[no-any-return]


def rank_invariant_int(item: Any) -> int:
    """An integer that has to be the same on all ranks.

    Raises:
        RuleViolation: it is not.
    """
    global_value, local_value = global_and_local(item)
    if global_value != local_value:
        raise size_read_violation(item)
    return global_value


def size_read_violation(item: Any) -> RuleViolation:
    """The violation of an argument that differs between ranks and the whole model."""
    if not isinstance(item, RankDependent):
        return RuleViolation(SizeRead(None, None, None, in_argument=True))
    return RuleViolation(
        SizeRead(item.source, item.global_value, item.local_value, in_argument=True, parts=item.parts)
    )


def normalize_dim(item: Any, ndim: int) -> int:
    """A dim, counted from the first; a tensor of no dims has the dims 0 and -1, as torch has it.

    Raises:
        Unsupported: the tensor does not have the dim.
    """
    dim, count = rank_invariant_int(item), max(ndim, 1)
    if not -count <= dim < count:
        raise Unsupported(f"dim {dim} of a tensor of {ndim} dims")
    return dim % count


def normalize_dims(item: Any, ndim: int) -> tuple[int, ...]:
    """Several dims, or one, counted from the first."""
    return tuple(normalize_dim(dim, ndim) for dim in (item if isinstance(item, tuple) else (item,)))
