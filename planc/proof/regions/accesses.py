"""What one operation does to the memory of its operands: it reads it, or writes to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from planc.ir.graph import INDEX_NODES, Function, Op, Slice, TorchConstant, Value, WeightRef
from planc.ir.tree import leaves
from planc.proof.rules.catalog import find_op
from planc.proof.rules.inplace import is_inplace
from planc.proof.rules.saved_tensors import saves_nothing
from planc.proof.units.memory import viewed_operands

AccessKind = Literal["read", "overwrite", "write", "update"]
"""How an operation uses memory:

- `read`: the result depends on the content;
- `overwrite`: all of it gets a content that does not depend on the old one;
- `write`: so does a part of it;
- `update`: the new content depends on the old one, or autograd keeps a history of the write, which it refuses to
  record twice.
"""

Reference = Value | WeightRef


def op_accesses(function: Function, step: Op) -> Iterator[tuple[Reference, AccessKind]]:
    """The operands that an operation reads or writes to, in this order. A view of an operand is neither."""
    target = write_target(step)
    has_history = any(function.tensors[number].grad for number in step.results)
    kind: AccessKind = "update" if has_history else _write_kind(step)
    views = [] if target is not None else _pure_views(function, step)
    for item in references((step.arguments, step.keywords)):
        if item != target and item not in views:
            yield item, "read"
    if target is not None:
        yield target, kind
    for item in _updated(step):
        yield item, "update"


def changes_saved(step: Op) -> bool:
    """Whether torch may change, inside of an operation, a result that `save(...)` keeps."""
    row = find_op(step.name)
    return row is not None and row.changes_saved


def writes_memory(step: Op) -> bool:
    """Whether an operation writes to an operand."""
    return write_target(step) is not None or any(_updated(step))


def write_target(step: Op) -> Reference | None:
    """The operand that an operation writes to by its name, by `inplace=True` or by `out=`."""
    if "out" in step.keywords:
        return next(iter(references(step.keywords["out"])), None)
    if not is_inplace(step):
        row = find_op(step.name)
        position = None if row is None else row.inplace_position
        if position is None or len(step.arguments) <= position or step.arguments[position] is not True:
            return None
    first = step.arguments[0] if step.arguments else step.keywords.get("input")
    return first if isinstance(first, Value | WeightRef) else None


def result_memory(function: Function, step: Op) -> list[Reference]:
    """The operands in whose memory the results of an operation may lie."""
    target = write_target(step)
    if target is not None:
        return [target]
    if step.name == "contiguous":
        return []  # a tensor that comes back as it is has no step
    return viewed_operands(function, step)


def references(item: Any) -> list[Reference]:
    """The tensors and weights in arguments; those of which they take a size alone are left out."""
    return leaves(item, (Value, WeightRef), into=INDEX_NODES)


def _pure_views(function: Function, step: Op) -> list[Reference]:
    """The operands of which the results are views for certain, and no copies."""
    row = find_op(step.name)
    if row is None or row.may_copy:
        return []
    if step.name == "__getitem__":
        index = step.arguments[1] if len(step.arguments) > 1 else None
        lists = [index, *index] if isinstance(index, tuple) else []
        if any(isinstance(item, tuple) and all(type(n) is int for n in item) for item in lists):
            return []  # a list of rows is copied
    elif row.saves is not saves_nothing:
        return []
    return result_memory(function, step)


def _write_kind(step: Op) -> AccessKind:
    row = find_op(step.name)
    writes = "update" if row is None else row.writes
    if "out" in step.keywords or writes == "all":
        return "overwrite"
    if step.name == "__setitem__" and step.arguments[1] in (TorchConstant("..."), Slice(None, None, None)):
        return "overwrite"
    return "write" if writes == "part" else "update"


def _updated(step: Op) -> list[Reference]:
    """What an operation changes besides its result."""
    row = find_op(step.name)
    return [] if row is None else references(row.updates(step))
