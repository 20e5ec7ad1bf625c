"""The truth of a condition in a module's source, as far as constants and attributes of the module decide it."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

_PLAIN = (bool, int, float, str, type(None))
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Is: operator.is_, ast.IsNot: operator.is_not,
}  # fmt: skip


class _Unknown(Exception):
    """Something else decides."""


def static_truth(test: ast.expr, module: Any, known: Mapping[str, bool | None]) -> bool | None:
    """Whether a condition holds; None: that is not known.

    Args:
        test: the condition.
        module: what `self` is.
        known: the values of names and of attributes of `self`, by their text; None: not known.
    """
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = static_truth(test.operand, module, known)
        return None if inner is None else not inner
    if isinstance(test, ast.BoolOp):
        decides = isinstance(test.op, ast.Or)
        parts = [static_truth(part, module, known) for part in test.values]
        return decides if decides in parts else None if None in parts else not decides
    try:
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and type(test.ops[0]) in _COMPARE:
            left, right = (_value(part, module, known) for part in (test.left, test.comparators[0]))
            return bool(_COMPARE[type(test.ops[0])](left, right))
        return bool(_value(test, module, known))
    except (_Unknown, TypeError):
        return None


def _value(node: ast.expr, module: Any, known: Mapping[str, bool | None]) -> Any:
    text = ast.unparse(node)
    if text in known:
        if known[text] is None:
            raise _Unknown
        return known[text]
    if isinstance(node, ast.Constant):
        return node.value
    path = text.split(".")
    if path[0] != "self" or not all(part.isidentifier() for part in path):
        raise _Unknown
    value = module
    for part in path[1:]:
        try:
            value = getattr(value, part)
        except AttributeError:
            raise _Unknown from None
    if not isinstance(value, _PLAIN):
        raise _Unknown
    return value
