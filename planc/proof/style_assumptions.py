"""What a module's own code does with its values, where a style speaks for the module as a whole.

A rowwise module's bias is added at its exit, once, after the sums; a rowwise embedding looks
at its first input, and its result gets zeros in the rows of other ranks. That is what the
code says only where nothing stands between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from planc.ir.graph import Call, Function, Op, Slice, Value, WeightRef
from planc.proof.rules.catalog import find_op
from planc.proof.rules.registry import OpRow

_LATE = "the bias of a rowwise module is added once, where the module returns: here it is used otherwise"
_ROWS = "a rowwise embedding looks up the rows that it is handed, and returns them: here it does otherwise"


def broken_style_assumption(
    function: Function,
    step: Op,
    row: OpRow | None,
    style: str | None,
    is_deferred_bias: Callable[[WeightRef], bool],
) -> str | None:
    """What an operation does that the style of its module does not expect; None: nothing."""
    named = [item for item in _handed(step) if isinstance(item, WeightRef) and is_deferred_bias(item)]
    if any(not adds_bias_once(function, step, row, weight.name) for weight in named):
        return _LATE
    if (
        row is not None
        and row.looks_up_rows
        and style == "rowwise"
        and not looks_up_rows_once(function, step)
    ):
        return _ROWS
    return None


def adds_bias_once(function: Function, step: Op, row: OpRow | None, name: str) -> bool:
    """Whether a module adds a bias of its own to what it returns, as it is, and uses it for
    nothing else."""
    if "." in name or "/" in name or len(step.results) != 1:
        return False
    uses = sum(item == WeightRef(name) for other in function.steps for item in _handed(other))
    if uses + sum(item == WeightRef(name) for item in iter_tensor_references(function.result)) != 1:
        return False
    return row is not None and row.adds_bias(step, name) and is_returned_unchanged(function, step.results[0])


def looks_up_rows_once(function: Function, step: Op) -> bool:
    """Whether a module looks up the rows that it is handed, and returns them as they are or scaled."""
    rows = step.arguments[0] if step.arguments else step.keywords.get("input")
    if function.inputs < 1 or rows != Value(0) or _uses(function, 0) != 1 or 0 in function.exports:
        return False
    return is_returned_unchanged(function, step.results[0], allow_scaling=True)


def is_returned_unchanged(function: Function, number: int, *, allow_scaling: bool = False) -> bool:
    """Whether a tensor is what a function returns, under other views alone, and nothing else
    uses it; its last dim stays.

    Args:
        function: what the module does.
        number: the tensor.
        scaled: whether its entries may be multiplied by something.
    """
    last = function.tensors[number].shape[-1:]
    while _uses(function, number) == 1 and function.tensors[number].shape[-1:] == last:
        if function.result == Value(number):
            return function.exports.count(number) == 1
        if number in function.exports:
            return False
        step = next((s for s in function.steps if Value(number) in list(_handed(s))), None)
        if not isinstance(step, Op) or step.arguments[:1] != (Value(number),) or len(step.results) != 1:
            return False
        row = find_op(step.name)
        same = row is not None and row.entries == "same"
        if not same and not (allow_scaling and row is not None and _scales(function, step, row)):
            return False
        number = step.results[0]
    return False


def _scales(function: Function, step: Op, row: OpRow) -> bool:
    """Whether every entry is multiplied by something, and stays in its place."""
    made = function.tensors[step.results[0]].shape
    return (
        row.entries == "scaled"
        and not step.keywords
        and isinstance(step.arguments[0], Value)
        and made == function.tensors[step.arguments[0].number].shape
    )


def _uses(function: Function, number: int) -> int:
    """How often a tensor is used; to read its size is no use."""
    inside = [item for step in function.steps for item in _handed(step)]
    outer = [other for step in function.steps if isinstance(step, Call) for other in step.free_tensors]
    return [*inside, *iter_tensor_references(function.result)].count(Value(number)) + outer.count(number)


def _handed(step: Op | Call) -> Iterator[Any]:
    return iter_tensor_references((step.arguments, step.keywords))


def iter_tensor_references(item: Any) -> Iterator[Any]:
    """Tensors and weights in arguments or results."""
    if isinstance(item, Value | WeightRef):
        yield item
    elif isinstance(item, Slice):
        yield from iter_tensor_references((item.start, item.stop, item.step))
    elif isinstance(item, tuple):
        for part in item:
            yield from iter_tensor_references(part)
    elif isinstance(item, Mapping):
        yield from iter_tensor_references(tuple(item.values()))
