"""Records, changed at a path. Nothing here draws: the kinds of changes do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from planc.ir.diagnostic import FieldPath
from planc.ir.expr import Expr
from planc.ir.layout import Layout
from planc.ir.pattern import Pattern
from planc.ir.plan import Plan
from planc.ir.record import Record

R = TypeVar("R", bound=Record)

LEAVES = (Pattern, Layout, Expr)


def replace_fields(record: R, **fields: Any) -> R:
    """The record with other values in some of its fields."""
    return type(record)(**{**vars(record), **fields})


def get_at(record: Any, path: FieldPath) -> Any:
    """What lies at a path."""
    for step in path:
        record = getattr(record, step) if isinstance(step, str) else record[step]
    return record


def replace_at(record: Any, path: FieldPath, value: Any) -> Any:
    """The record with something else at a path."""
    return (
        value if not path else _replace_child(record, path, lambda inner: replace_at(inner, path[1:], value))
    )


def remove_at(record: Any, path: FieldPath) -> Any:
    """The record without the item of a tuple that a path ends at."""
    above, last = path[:-1], last_index(path)
    items = get_at(record, above)
    return replace_at(record, above, (*items[:last], *items[last + 1 :]))


def insert_at(record: Any, path: FieldPath, *values: Any) -> Any:
    """The record with more items before the one of a tuple that a path ends at."""
    above, last = path[:-1], last_index(path)
    items = get_at(record, above)
    return replace_at(record, above, (*items[:last], *values, *items[last:]))


def last_index(path: FieldPath) -> int:
    """The number of the item that a path ends at."""
    last = path[-1]
    assert isinstance(last, int)
    return last


def _replace_child(record: Any, path: FieldPath, change: Any) -> Any:
    step = path[0]
    if isinstance(step, str):
        return replace_fields(record, **{step: change(getattr(record, step))})
    return (*record[:step], change(record[step]), *record[step + 1 :])


def find_paths(plan: Plan, *types: type) -> list[FieldPath]:
    """Where records of some types lie, in the order of the plan; patterns, layouts and expressions are
    not looked into."""
    return [path for path, value in _walk(plan, ()) if isinstance(value, types)]


def _walk(value: Any, path: FieldPath) -> Iterator[tuple[FieldPath, Any]]:
    if isinstance(value, Record):
        yield path, value
        if not isinstance(value, LEAVES):
            for field in value._names:
                yield from _walk(getattr(value, field), (*path, field))
    elif isinstance(value, tuple):
        for i, inner in enumerate(value):
            yield from _walk(inner, (*path, i))
