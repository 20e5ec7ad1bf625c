"""The JSON form of an argument: one way to write each, and to read it back.

A value is `"%3"`, a weight `"@weight"`, a text `"'text"`; numbers, booleans, null and lists
stand for themselves. A number with an origin is `{"size": ["%0", 1], "is": 384}`; slices,
mappings and other constants are objects with one key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from planc.ir.graph import Number, Other, Slice, TensorInfo, Value, Weight

MAX_DEPTH = 100
MAX_NUMBER = 1 << 62
"""Of sizes and other whole numbers."""
MAX_POWER = 64
"""Of exponents: a short formula may stand for a number that fills the memory."""

OPERATORS = ("add", "sub", "mul", "floordiv", "truediv", "mod", "pow", "neg")
ORIGINS = {"size": 2, "numel": 1, "len": 1, "attribute": 1, "neg": 1} | dict.fromkeys(OPERATORS[:-1], 2)
"""What a number comes from, and how many arguments say so."""


class BadGraph(Exception):
    """Data that is no graph; the message says where and why."""


def to_form(item: Any) -> Any:
    """An argument as JSON."""
    if isinstance(item, Value):
        return f"%{item.number}"
    if isinstance(item, Weight):
        return f"@{item.name}"
    if isinstance(item, str):
        return f"'{item}"
    if isinstance(item, float) and not math.isfinite(item):
        return {"float": str(item)}
    if item is None or isinstance(item, bool | int | float):
        return item
    if isinstance(item, tuple):
        return [to_form(part) for part in item]
    if isinstance(item, Number):
        return {item.op: [to_form(part) for part in item.arguments], "is": item.captured}
    if isinstance(item, Slice):
        return {"slice": [to_form(item.start), to_form(item.stop), to_form(item.step)]}
    if isinstance(item, Other):
        return {"other": item.text}
    if isinstance(item, Mapping):
        return {"map": {key: to_form(value) for key, value in item.items()}}
    raise TypeError(f"no form for {item!r}")


def from_form(data: Any, on_value: Callable[[Value], object], depth: int = 0) -> Any:
    """The argument that a piece of JSON stands for.

    Args:
        data: the JSON.
        on_value: told of every value in it.
        depth: brackets around it.

    Raises:
        BadGraph: it stands for none.
    """
    if isinstance(data, str):
        return _word(data, on_value)
    if data is None or isinstance(data, bool):
        return data
    if isinstance(data, int | float):
        return _plain(data)
    if depth > MAX_DEPTH:
        raise BadGraph("arguments are nested too deeply")
    if isinstance(data, list):
        return tuple([from_form(part, on_value, depth + 1) for part in data])
    if isinstance(data, dict):
        return _object(data, on_value, depth + 1)
    raise BadGraph(f"this is no argument: {shown(data)}")


def _word(text: str, on_value: Callable[[Value], object]) -> Value | Weight | str:
    kind, rest = text[:1], text[1:]
    if kind == "%" and rest.isascii() and rest.isdigit() and len(rest) < 10:
        value = Value(int(rest))
        on_value(value)
        return value
    if kind == "@":
        return Weight(rest)
    if kind == "'":
        return rest
    raise BadGraph(f"this is no argument: {shown(text)}")


def _plain(number: float) -> int | float:
    if not math.isfinite(number) or (isinstance(number, int) and abs(number) > MAX_NUMBER):
        raise BadGraph(f"this is no number of a model: {shown(number)}")
    return number


def _object(data: Mapping[str, Any], on_value: Callable[[Value], object], depth: int) -> Any:
    if len(data) == 2 and "is" in data:
        return _number(data, on_value, depth)
    if len(data) == 1:
        ((kind, inner),) = data.items()
        if kind == "slice" and isinstance(inner, list) and len(inner) == 3:
            return Slice(*[from_form(part, on_value, depth) for part in inner])
        if kind == "other" and isinstance(inner, str):
            return Other(inner)
        if kind == "float" and inner in ("inf", "-inf", "nan"):
            return float(inner)
        if kind == "map" and isinstance(inner, dict):
            return {key: from_form(value, on_value, depth) for key, value in inner.items()}
    raise BadGraph(f"this is no argument: {shown(data)}")


def _number(data: Mapping[str, Any], on_value: Callable[[Value], object], depth: int) -> Number:
    captured = data["is"]
    op, given = next((key, value) for key, value in data.items() if key != "is")
    if isinstance(captured, bool) or not isinstance(captured, int | float) or not isinstance(given, list):
        raise BadGraph(f"this is no number: {shown(data)}")
    arguments = tuple([from_form(part, on_value, depth) for part in given])
    if ORIGINS.get(op) != len(arguments) or not all(map(_fits(op), arguments, range(2))):
        raise BadGraph(f"this is no origin of a number: {shown(data)}")
    return Number(op, arguments, _plain(captured))


def _fits(op: str) -> Callable[[Any, int], bool]:
    """Whether an argument can stand at a place of an origin."""
    if op == "attribute":
        return lambda argument, _: isinstance(argument, str)
    if op in OPERATORS:
        return lambda argument, place: _is_number(argument, MAX_POWER if op == "pow" and place else None)
    return lambda argument, place: (
        type(argument) is int and 0 <= argument < 64 if place else isinstance(argument, Value | Weight)
    )


def _is_number(argument: Any, most: int | None) -> bool:
    bare = argument.captured if isinstance(argument, Number) else argument
    if isinstance(bare, bool) or not isinstance(bare, int | float):
        return False
    return most is None or abs(bare) <= most


def info_form(info: TensorInfo) -> str:
    """A tensor as `float32[4,384]`, with a star where a gradient flows to it."""
    return f"{info.dtype}[{','.join(map(str, info.shape))}]{'*' * info.grad}"


def info_from(text: Any) -> TensorInfo:
    """The tensor that such a text stands for.

    Raises:
        BadGraph: it stands for none.
    """
    if isinstance(text, str) and len(text) < 1000:
        dtype, _, rest = text.partition("[")
        sizes, closed, star = rest.partition("]")
        shape = sizes.split(",") if sizes else []
        if (
            dtype.isidentifier()
            and closed
            and star in ("", "*")
            and all(size.isascii() and size.isdigit() and len(size) < 19 for size in shape)
        ):
            return TensorInfo(tuple(map(int, shape)), dtype, bool(star))
    raise BadGraph(f"this is no tensor: {shown(text)}")


def shown(data: Any) -> str:
    """The beginning of something bad, for a message."""
    text = repr(data)
    return text if len(text) <= 60 else f"{text[:57]}..."
