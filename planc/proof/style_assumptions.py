"""What a style assumes about the code of its module.

A rowwise style adds the module's bias at the module's output, after the sum, and takes the bias away inside.
That is right only if the code adds the bias to what it returns. A rowwise embedding masks the rows that its
first input asks for, and zeros those rows of its output: right only if the code looks these rows up and
returns them. It numbers the padding row anew: right only if the code takes the number from the attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from planc.ir.graph import INDEX_NODES, Call, Function, Op, SymNumber, Value, WeightRef
from planc.ir.tree import leaves
from planc.proof.rules.catalog import find_op
from planc.proof.rules.registry import OpRow
from planc.proof.unproved import Assumption


def broken_style_assumption(
    function: Function,
    step: Op,
    row: OpRow | None,
    is_deferred_bias: Callable[[WeightRef], bool],
    *,
    masks_lookup: bool,
    row_attributes: Sequence[str] = (),
    hides_attributes: bool = False,
) -> Assumption | None:
    """How an operation breaks what the style of its module assumes; None: it does not.

    Args:
        function: what the module does.
        is_deferred_bias: whether the module's boundary adds a parameter, after the sum.
        masks_lookup: whether the style masks the lookup of rows that a rank lacks.
        row_attributes: the attributes whose row numbers are those of a rank.
        hides_attributes: whether a capture has the numbers of the module's attributes as plain ones.
    """
    weights = [item for item in _references(step) if isinstance(item, WeightRef)]
    biases = [weight for weight in weights if is_deferred_bias(weight)]
    if any(not adds_bias_once(function, step, row, bias.name) for bias in biases):
        return "bias"
    if row is not None and row.looks_up_rows and masks_lookup:
        if not looks_up_rows_once(function, step):
            return "lookup"
        padding = _padding_row(step)
        if not (padding is None or hides_attributes or _is_attribute(padding, row_attributes)):
            return "padding"
    return None


def with_row_numbers(step: Op, row_attributes: Sequence[str]) -> Op:
    """A lookup whose padding row has the number in the whole table, where it comes from an attribute that has the
    rank's own number."""
    padding = _padding_row(step)
    if not _is_attribute(padding, row_attributes):
        return step
    arguments = tuple([item.captured if item is padding else item for item in step.arguments])
    keywords = {name: item.captured if item is padding else item for name, item in step.keywords.items()}
    return Op(step.name, arguments, keywords, step.results)


def _padding_row(step: Op) -> Any:
    return step.arguments[2] if len(step.arguments) > 2 else step.keywords.get("padding_idx")


def _is_attribute(item: Any, names: Sequence[str]) -> bool:
    return isinstance(item, SymNumber) and item.op == "attribute" and item.arguments[0] in names


def adds_bias_once(function: Function, step: Op, row: OpRow | None, name: str) -> bool:
    """Whether a call adds a bias of the module itself to what the module returns, and nothing else uses it."""
    if "." in name or "/" in name or len(step.results) != 1:
        return False
    uses = sum(item == WeightRef(name) for other in function.steps for item in _references(other))
    if uses + sum(item == WeightRef(name) for item in iter_tensor_references(function.result)) != 1:
        return False
    return row is not None and row.adds_bias(step, name) and is_returned_unchanged(function, step.results[0])


def looks_up_rows_once(function: Function, step: Op) -> bool:
    """Whether a module looks up the rows of its first input, and returns them unchanged or scaled."""
    rows = step.arguments[0] if step.arguments else step.keywords.get("input")
    if function.inputs < 1 or rows != Value(0) or _uses(function, 0) != 1 or 0 in function.exports:
        return False
    return is_returned_unchanged(function, step.results[0], allow_scaling=True)


def is_returned_unchanged(function: Function, number: int, *, allow_scaling: bool = False) -> bool:
    """Whether a function returns a tensor, or a view of it with the same last dim, and does nothing else with it.

    Args:
        function: what the module does.
        number: the tensor.
        allow_scaling: whether the function may multiply the entries.
    """
    last = function.tensors[number].shape[-1:]
    while _uses(function, number) == 1 and function.tensors[number].shape[-1:] == last:
        if function.result == Value(number):
            return function.exports.count(number) == 1
        if number in function.exports:
            return False
        step = next((s for s in function.steps if Value(number) in list(_references(s))), None)
        if not isinstance(step, Op) or step.arguments[:1] != (Value(number),) or len(step.results) != 1:
            return False
        row = find_op(step.name)
        same = row is not None and row.entries == "same"
        if not same and not (allow_scaling and row is not None and _scales(function, step, row)):
            return False
        number = step.results[0]
    return False


def _scales(function: Function, step: Op, row: OpRow) -> bool:
    """Whether a call multiplies every entry, and broadcasts to no other shape."""
    made = function.tensors[step.results[0]].shape
    return (
        row.entries == "scaled"
        and not step.keywords
        and isinstance(step.arguments[0], Value)
        and made == function.tensors[step.arguments[0].number].shape
    )


def _uses(function: Function, number: int) -> int:
    """How often a function uses a tensor; reading its size does not count."""
    inside = [item for step in function.steps for item in _references(step)]
    outer = [other for step in function.steps if isinstance(step, Call) for other in step.free_tensors]
    return [*inside, *iter_tensor_references(function.result)].count(Value(number)) + outer.count(number)


def _references(step: Op | Call) -> Iterator[Any]:
    return iter_tensor_references((step.arguments, step.keywords))


def iter_tensor_references(item: Any) -> Iterator[Value | WeightRef]:
    """Tensors and weights in arguments or results."""
    return iter(leaves(item, (Value, WeightRef), into=INDEX_NODES))
