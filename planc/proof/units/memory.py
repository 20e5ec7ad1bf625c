"""Which operands an operation's results may share memory with."""

from __future__ import annotations

from typing import Any

from planc.ir.graph import INDEX_NODES, Function, Op, Value, WeightRef
from planc.ir.tree import leaves
from planc.proof.rules.catalog import find_op
from planc.proof.rules.inplace import is_inplace
from planc.proof.rules.operation import Unsupported
from planc.proof.saved_by_operation import WeightInfo, recorded_operation


def may_be_view(step: Op) -> bool:
    """Whether the results of an operation may lie in the memory of an operand."""
    row = find_op(step.name)
    return row is None or row.may_alias or is_inplace(step)


def viewed_operands(function: Function, step: Op) -> list[Value | WeightRef]:
    """The operands whose memory the results may lie in: mostly the first one, of which others give the shape."""
    if not may_be_view(step):
        return []
    everything = _tensors((step.arguments, step.keywords))
    first = _tensors(step.arguments[:1])
    if find_op(step.name) is None or len(step.results) > 1:
        return everything  # as broadcast_tensors gives a view of each
    if not first:
        return everything if len(everything) == 1 else []  # as einsum, which multiplies several
    if step.name == "__getitem__" and _tensors(step.arguments[1:]):
        return []  # rows that a tensor names are copied
    return [] if _is_cast(function, step, first) else first


def returns_view(function: Function, step: Op, weight: WeightInfo) -> bool:
    """Whether autograd may take the result for a view of a tensor that the operation makes inside."""
    row = find_op(step.name)
    try:
        return row is not None and row.returns_view(recorded_operation(function, step, weight))
    except (Unsupported, IndexError, KeyError, TypeError, ValueError, AttributeError):
        return False  # a graph that is written by hand: arguments that the row cannot read


def _is_cast(function: Function, step: Op, operands: list[Value | WeightRef]) -> bool:
    """Whether the results have another dtype than the tensors, so that they are copies."""
    dtypes = {function.tensors[item.number].dtype for item in operands if isinstance(item, Value)}
    return (
        bool(dtypes)
        and not is_inplace(step)
        and dtypes.isdisjoint(function.tensors[n].dtype for n in step.results)
    )


def _tensors(item: Any) -> list[Value | WeightRef]:
    return leaves(item, (Value, WeightRef), into=INDEX_NODES)
