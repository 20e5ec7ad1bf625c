"""A plan to data, JSON, YAML and Python."""

from __future__ import annotations

import json
from typing import Any

from planc.ir.record import Record
from planc.ir.scalar import Scalar

WIDTH = 96


def to_data(value: Any) -> Any:
    """A plan as dicts, lists and strings, without the fields that have their default."""
    if isinstance(value, Scalar):
        return str(value)
    if isinstance(value, tuple):
        return [to_data(item) for item in value]
    if not isinstance(value, Record):
        return value
    kind = getattr(value, "kind", None)
    data = {} if kind is None else {"kind": kind}
    for name in value._names:
        field = value.__dict__[name]
        default = value._defaults.get(name, ...)
        if name != "kind" and not (field == default and type(field) is type(default)):
            data[name] = to_data(field)
    return data


def plan_to_json(plan: Record) -> str:
    """The plan as JSON."""
    return json.dumps(to_data(plan), indent=2, ensure_ascii=False) + "\n"


def plan_to_yaml(plan: Record) -> str:
    """The plan as YAML."""
    import yaml

    return str(yaml.safe_dump(to_data(plan), sort_keys=False, width=WIDTH, allow_unicode=True))


def plan_to_python(plan: Record) -> str:
    """Python code that builds the plan and calls it `plan`."""
    names = sorted(_classes(plan))
    return f"from planc import {', '.join(names)}\n\nplan = {_code(plan, 0, 7)}\n"


def _classes(value: Any) -> set[str]:
    if isinstance(value, Scalar):
        return {_scalar_class(value)}
    if isinstance(value, tuple):
        return set[str]().union(*map(_classes, value))
    if isinstance(value, Record):
        return {type(value).__name__}.union(*map(_classes, value.__dict__.values()))
    return set()


def _scalar_class(value: Scalar) -> str:
    cls = type(value)
    return cls.__name__ if cls.__mro__[1] is Record else cls.__mro__[1].__name__


def _code(value: Any, indent: int, used: int) -> str:
    """A value as Python code, on several lines where it is too long for one."""
    if isinstance(value, Scalar):
        return f"{_scalar_class(value)}.parse({str(value)!r})"
    if isinstance(value, tuple):
        parts = [("", item) for item in value]
        opening, closing = "(", ",)" if len(value) == 1 else ")"
    elif isinstance(value, Record):
        given = [n for n in value._names if n != "kind" and value.__dict__[n] != value._defaults.get(n, ...)]
        parts = [(f"{n}=", value.__dict__[n]) for n in given]
        opening, closing = f"{type(value).__name__}(", ")"
    else:
        return repr(value)
    flat = opening + ", ".join(f"{name}{_code(v, indent, 0)}" for name, v in parts) + closing
    if "\n" not in flat and indent + used + len(flat) <= WIDTH:
        return flat
    pad = " " * (indent + 4)
    lines = [f"{pad}{name}{_code(v, indent + 4, len(name) + 1)},\n" for name, v in parts]
    return f"{opening}\n{''.join(lines)}{' ' * indent})"
