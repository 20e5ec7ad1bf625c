"""The part of a line of the model's code that gives an operation one of its numbers."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any


def source_expression(line: str, arguments: tuple[Any, ...], is_meant: Callable[[Any], bool]) -> str:
    """The expression of a number, as the code spells it; "" where the line does not show it.

    Args:
        line: where the call is, and the call: `model.py:24: x.view(n, -1)`.
        arguments: those of the operation; the tensor whose method it is comes first.
        is_meant: whether an argument is the number.
    """
    _, _, text = line.partition(": ")
    try:
        call = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return ""
    if not isinstance(call, ast.Call) or call.keywords:
        return ""
    receiver = [call.func.value] if isinstance(call.func, ast.Attribute) else []
    given = _flat(arguments)
    for written in (_flat_code([*receiver, *call.args]), _flat_code(call.args)):
        if len(written) == len(given):
            return next((ast.unparse(w) for w, g in zip(written, given, strict=True) if is_meant(g)), "")
    return ""


def _flat(arguments: tuple[Any, ...]) -> list[Any]:
    return [part for item in arguments for part in (item if isinstance(item, tuple) else (item,))]


def _flat_code(items: list[ast.expr]) -> list[ast.expr]:
    return [
        part for item in items for part in (item.elts if isinstance(item, ast.Tuple | ast.List) else (item,))
    ]
