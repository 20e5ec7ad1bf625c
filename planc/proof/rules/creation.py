"""Operations that make tensors of numbers in the code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planc.ir.tree import nodes
from planc.proof.rules.arguments import as_operand, global_and_local, size_read_violation, unpack_varargs
from planc.proof.rules.operation import (
    Operand,
    Operation,
    RankDependent,
    Unsupported,
    iter_operands,
    iter_rank_dependent,
)
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import saves_nothing
from planc.proof.types import CONSTANT, PARTIAL, SAME_ON_ALL_RANKS, SpmdType, local_index, sharded

IGNORED_KEYWORDS = ("dtype", "device", "layout", "pin_memory", "memory_format", "out", "names")


def creation_keywords(operation: Operation, *known: str) -> dict[str, Any]:
    """The keywords of a call that makes a tensor, without those that change no layout.

    Raises:
        Unsupported: the tensor takes a gradient, or the rule does not know a keyword.
    """
    left = {
        n: v
        for n, v in operation.keywords.items()
        if n not in IGNORED_KEYWORDS or (n in ("out", "names") and v is not None)
    }
    if left.pop("requires_grad", False) is not False or any(result.grad for result in operation.results):
        raise Unsupported(f"{operation.name} makes a tensor that requires a gradient")
    for name in left:
        if name not in known:
            raise Unsupported(f"the rule of {operation.name} does not know the argument '{name}'")
    return left


def filled_type(sizes: Sequence[Any], operation: Operation) -> SpmdType:
    """The type of a tensor of these sizes with one number everywhere.

    Raises:
        RuleViolation: a size that differs between ranks is not the ranks' share of a dim.
    """
    if len(sizes) != len(operation.results[0].shape):
        raise Unsupported(f"{operation.name} with {len(sizes)} sizes returns another number of dims")
    pairs = [global_and_local(item) for item in sizes]
    shared = [d for d, (size, local_size) in enumerate(pairs) if size != local_size]
    if not shared:
        return CONSTANT
    size, local_size = pairs[shared[0]]
    if len(shared) > 1 or size != local_size * operation.ranks:
        raise size_read_violation(sizes[shared[-1]])
    return sharded(shared[0])


@op_rule("zeros", "ones", "empty", accepts_rank_dependent=True, saves=saves_nothing, may_alias=False)
def zeros_rule(operation: Operation) -> SpmdType:
    """(2, 3) -> a tensor of that shape"""
    given = creation_keywords(operation, "size")
    return filled_type(
        unpack_varargs((given["size"],) if "size" in given else operation.arguments), operation
    )


@op_rule("full", accepts_rank_dependent=True, saves=saves_nothing, may_alias=False)
def full_rule(operation: Operation) -> SpmdType:
    """(2, 3), a number -> a tensor of that shape"""
    given = creation_keywords(operation, "size", "fill_value")
    return _filled(operation, operation.arguments, given)


@op_rule(
    "new_zeros", "new_ones", "new_empty", accepts_rank_dependent=True, saves=saves_nothing, may_alias=False,
)  # fmt: skip
def new_zeros_rule(operation: Operation) -> SpmdType:
    """x, (2, 3) -> a tensor of that shape"""
    given = creation_keywords(operation, "size")
    return filled_type(
        unpack_varargs((given["size"],) if "size" in given else operation.arguments[1:]), operation
    )


@op_rule("new_full", accepts_rank_dependent=True, saves=saves_nothing, may_alias=False)
def new_full_rule(operation: Operation) -> SpmdType:
    """x, (2, 3), a number -> a tensor of that shape"""
    given = creation_keywords(operation, "size", "fill_value")
    return _filled(operation, operation.arguments[1:], given)


def _filled(operation: Operation, given: tuple[Any, ...], named: dict[str, Any]) -> SpmdType:
    rest = list(given)
    size = named["size"] if "size" in named else rest.pop(0)
    value = named["fill_value"] if "fill_value" in named else rest.pop(0)
    _plain(value)
    if rest:
        raise Unsupported(f"{operation.name} has more arguments than its rule knows")
    return filled_type(unpack_varargs((size,)), operation)


def _plain(item: Any) -> None:
    """Refuse arguments that are not numbers, or differ between ranks."""
    if (number := next(iter_rank_dependent(item), None)) is not None:
        raise size_read_violation(number)
    if any(operand.type is not CONSTANT or operand.shape for operand in iter_operands(item)):
        raise Unsupported("a tensor is made from the entries of another one")
    plain = (tuple, int, float, complex, Operand)
    if not all(isinstance(node, plain) for _, node in nodes(item, into=(tuple,))):
        raise Unsupported("a tensor is made from something other than numbers")


@op_rule("zeros_like", "ones_like", "empty_like", saves=saves_nothing, may_alias=False)
def zeros_like_rule(operation: Operation) -> SpmdType:
    """x (a, b) -> a tensor of that shape"""
    creation_keywords(operation)
    (x,) = operation.arguments
    return CONSTANT if as_operand(x).type in (*SAME_ON_ALL_RANKS, PARTIAL) else x.type


@op_rule("full_like", saves=saves_nothing, may_alias=False)
def full_like_rule(operation: Operation) -> SpmdType:
    """x (a, b), a number -> a tensor of that shape"""
    given = creation_keywords(operation, "fill_value")
    x, *rest = operation.arguments
    for value in (*rest, *given.values()):
        _plain(value)
    return CONSTANT if as_operand(x).type in (*SAME_ON_ALL_RANKS, PARTIAL) else x.type


@op_rule("arange", accepts_rank_dependent=True, saves=saves_nothing, may_alias=False)
def arange_rule(operation: Operation) -> SpmdType:
    """n -> (n): 0, 1, ...; of a size that is each rank's own, positions that the rank counts from its own start"""
    given = creation_keywords(operation, "start", "end", "step")
    end = operation.arguments[0] if len(operation.arguments) == 1 and not given else None
    if (
        isinstance(end, RankDependent)
        and end.local_value is not None
        and end.global_value == end.local_value * operation.ranks
    ):
        return local_index(0, int(end.global_value), end.source)
    return _constant(operation)


@op_rule("tensor", "scalar_tensor", "range", "linspace", "logspace", "eye",
      "tril_indices", "triu_indices", "hann_window", "hamming_window", saves=saves_nothing, may_alias=False)  # fmt: skip
def constant_rule(operation: Operation) -> SpmdType:
    """numbers -> a tensor of them, the same on all ranks"""
    return _constant(operation)


def _constant(operation: Operation) -> SpmdType:
    known = ("start", "end", "step", "steps", "n", "m", "data", "base", "row", "col", "offset")
    given = creation_keywords(operation, *known)
    _plain((*operation.arguments, *(value for value in given.values() if value is not None)))
    return CONSTANT


@op_rule("new_tensor", saves=saves_nothing, may_alias=False)
def new_tensor_rule(operation: Operation) -> SpmdType:
    """x, numbers -> a tensor of the numbers"""
    given = creation_keywords(operation, "data")
    _plain((*operation.arguments[1:], *given.values()))
    return CONSTANT
