"""The JSON form of an argument: one way to write each, and to read it back.

A value is `"%3"`, a weight `"@weight"`, a text `"'text"`; numbers, booleans, null and lists
stay as they are. A number with an origin is `{"size": ["%0", 1], "is": 384}`; slices,
mappings and other constants are objects with one key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from planc.ir.graph import (
    ARGUMENT_NODES,
    SIZE_ORIGINS,
    Slice,
    SymNumber,
    TensorInfo,
    TorchConstant,
    Value,
    WeightRef,
)
from planc.ir.number_ops import MAX_EXPONENT, NUMBER_OPS
from planc.ir.tree import transform

MAX_DEPTH = 100
MAX_NUMBER = 1 << 62
"""The largest size or other integer."""

ORIGIN_ARITY = SIZE_ORIGINS | {"attribute": 1} | {row.name: row.operands for row in NUMBER_OPS.values()}
"""The origins of a number, and how many arguments each has."""


class GraphFormatError(Exception):
    """Data that is not a graph; the message says where and why."""


def encode_argument(item: Any) -> Any:
    """An argument as JSON."""
    return transform(item, _encode_leaf, _encode_node, into=ARGUMENT_NODES)


def _encode_node(node: Any, parts: list[Any]) -> Any:
    if isinstance(node, tuple):
        return parts
    if isinstance(node, SymNumber):
        return {node.op: parts, "is": node.captured}
    if isinstance(node, Slice):
        return {"slice": parts}
    return {"map": dict(zip(node, parts, strict=True))}


def _encode_leaf(item: Any) -> Any:
    if isinstance(item, Value):
        return f"%{item.number}"
    if isinstance(item, WeightRef):
        return f"@{item.name}"
    if isinstance(item, str):
        return f"'{item}"
    if isinstance(item, float) and not math.isfinite(item):
        return {"float": str(item)}
    if item is None or isinstance(item, bool | int | float):
        return item
    if isinstance(item, TorchConstant):
        return {"other": item.text}
    raise TypeError(f"a graph cannot hold {item!r}")


def decode_argument(data: Any, on_value: Callable[[Value], object], depth: int = 0) -> Any:
    """The argument that JSON encodes.

    Args:
        data: the JSON.
        on_value: is called with every value in it.
        depth: how many containers there are around it.

    Raises:
        GraphFormatError: it does not encode one.
    """
    if isinstance(data, str):
        return _decode_text(data, on_value)
    if data is None or isinstance(data, bool):
        return data
    if isinstance(data, int | float):
        return _checked_number(data)
    if depth > MAX_DEPTH:
        raise GraphFormatError("arguments are nested too deeply")
    if isinstance(data, list):
        return tuple([decode_argument(part, on_value, depth + 1) for part in data])
    if isinstance(data, dict):
        return _decode_object(data, on_value, depth + 1)
    raise GraphFormatError(f"not an argument: {shortened(data)}")


def _decode_text(text: str, on_value: Callable[[Value], object]) -> Value | WeightRef | str:
    kind, rest = text[:1], text[1:]
    if kind == "%" and rest.isascii() and rest.isdigit() and len(rest) < 10:
        value = Value(int(rest))
        on_value(value)
        return value
    if kind == "@":
        return WeightRef(rest)
    if kind == "'":
        return rest
    raise GraphFormatError(f"not an argument: {shortened(text)}")


def _checked_number(number: float) -> int | float:
    if not math.isfinite(number) or (isinstance(number, int) and abs(number) > MAX_NUMBER):
        raise GraphFormatError(f"not a number that a model may have: {shortened(number)}")
    return number


def _decode_object(data: Mapping[str, Any], on_value: Callable[[Value], object], depth: int) -> Any:
    if len(data) == 2 and "is" in data:
        return _decode_number(data, on_value, depth)
    if len(data) == 1:
        ((kind, inner),) = data.items()
        if kind == "slice" and isinstance(inner, list) and len(inner) == 3:
            return Slice(*[decode_argument(part, on_value, depth) for part in inner])
        if kind == "other" and isinstance(inner, str):
            return TorchConstant(inner)
        if kind == "float" and inner in ("inf", "-inf", "nan"):
            return float(inner)
        if kind == "map" and isinstance(inner, dict):
            return {key: decode_argument(value, on_value, depth) for key, value in inner.items()}
    raise GraphFormatError(f"not an argument: {shortened(data)}")


def _decode_number(data: Mapping[str, Any], on_value: Callable[[Value], object], depth: int) -> SymNumber:
    captured = data["is"]
    op, given = next((key, value) for key, value in data.items() if key != "is")
    if isinstance(captured, bool) or not isinstance(captured, int | float) or not isinstance(given, list):
        raise GraphFormatError(f"not a number: {shortened(data)}")
    arguments = tuple([decode_argument(part, on_value, depth) for part in given])
    own = arguments[:-1] if _has_reader(op, arguments) else arguments
    if ORIGIN_ARITY.get(op) != len(own) or not all(map(_position_test(op), own, range(2))):
        raise GraphFormatError(f"not the origin of a number: {shortened(data)}")
    return SymNumber(op, arguments, _checked_number(captured))


def _has_reader(op: str, arguments: tuple[Any, ...]) -> bool:
    """Whether the last argument of an origin names the module that read the size of a weight."""
    is_read = op in SIZE_ORIGINS and len(arguments) > SIZE_ORIGINS[op]
    return is_read and isinstance(arguments[0], WeightRef) and isinstance(arguments[-1], str)


def _position_test(op: str) -> Callable[[Any, int], bool]:
    """A test whether an argument may stand at a position of an origin."""
    if op == "attribute":
        return lambda argument, _: isinstance(argument, str)
    if op in NUMBER_OPS:
        return lambda argument, position: _is_number(
            argument, MAX_EXPONENT if op == "pow" and position else None
        )
    return lambda argument, position: (
        type(argument) is int and 0 <= argument < 64 if position else isinstance(argument, Value | WeightRef)
    )


def _is_number(argument: Any, largest: int | None) -> bool:
    value = argument.captured if isinstance(argument, SymNumber) else argument
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return largest is None or abs(value) <= largest


def encode_tensor_info(info: TensorInfo) -> str:
    """A tensor as `float32[4,384]`, with a star where a gradient flows to it."""
    return f"{info.dtype}[{','.join(map(str, info.shape))}]{'*' * info.grad}"


def decode_tensor_info(text: Any) -> TensorInfo:
    """The tensor that a text as `float32[4,384]*` describes.

    Raises:
        GraphFormatError: it does not encode one.
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
    raise GraphFormatError(f"not a tensor: {shortened(text)}")


def shortened(data: Any) -> str:
    """The beginning of bad data, for a message."""
    text = repr(data)
    return text if len(text) <= 60 else f"{text[:57]}..."
