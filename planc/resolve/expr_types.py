"""Types of expressions, as far as they follow without values."""

from __future__ import annotations

from collections.abc import Mapping

from planc.ir.expr import Binary, Const, EvalError, Expr, Name, Unary, format_value

_ARITHMETIC = ("+", "-", "*", "//", "%")
_WORD = {int: "a number", bool: "true or false"}


def infer_type(expr: Expr, types: Mapping[str, type]) -> type | None:
    """`int` or `bool`; None where only the model shows the type.

    Raises:
        EvalError: an operand cannot be of the type that its operator takes.
    """
    if isinstance(expr, Const):
        return type(expr.value)
    if isinstance(expr, Name):
        return types.get(expr.name)
    if isinstance(expr, Unary):
        wanted = bool if expr.op == "not" else int
        _want(expr, expr.operand, wanted, types)
        return wanted
    if not isinstance(expr, Binary):
        raise TypeError(f"not an expression: {expr!r}")
    if expr.op in ("==", "!="):
        left, right = infer_type(expr.left, types), infer_type(expr.right, types)
        if left and right and left is not right:
            raise EvalError("type", expr, f"compares {_WORD[left]} with {_WORD[right]}")
        return bool
    wanted = bool if expr.op in ("and", "or") else int
    _want(expr, expr.left, wanted, types)
    _want(expr, expr.right, wanted, types)
    return wanted if wanted is bool or expr.op in _ARITHMETIC else bool


def _want(expr: Unary | Binary, operand: Expr, wanted: type, types: Mapping[str, type]) -> None:
    got = infer_type(operand, types)
    if got is not None and got is not wanted:
        text = format_value(operand.value) if isinstance(operand, Const) else str(operand)
        raise EvalError("type", expr, f"'{expr.op}' takes {_WORD[wanted]}, '{text}' is {_WORD[got]}")
