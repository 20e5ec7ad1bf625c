"""Expressions of `require`, `when` and arguments: a tree, its text, its value.

Integers, booleans, names, comparison, `+ - * // %`, `and or not`. There is no
attribute, call or index, so evaluating one runs no code of the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from operator import add, eq, floordiv, ge, gt, le, lt, mod, mul, ne, sub

from planc.ir.record import Record
from planc.ir.scalar import Scalar, parse_registered

ExprValue = bool | int


class Expr(Record, Scalar):
    """One of `Const`, `Name`, `Unary`, `Binary`."""

    description = "an expression, as num_attention_heads % tp == 0"

    @classmethod
    def parse(cls, text: str) -> Expr:
        """Read an expression, as `tp <= 8`.

        Raises:
            planc.ir.scalar.ScalarError: the text is not an expression.
        """
        expr: Expr = parse_registered(Expr, text)
        return expr

    def __str__(self) -> str:
        return _text(self, 0)

    def names(self) -> Iterator[str]:
        """Every name in it, left to right, with repetitions."""
        if isinstance(self, Name):
            yield self.name
        elif isinstance(self, Unary):
            yield from self.operand.names()
        elif isinstance(self, Binary):
            yield from self.left.names()
            yield from self.right.names()


class Const(Expr):
    """An integer or a boolean."""

    value: ExprValue


class Name(Expr):
    """An axis (its size), an option, or a configuration fact of the model."""

    name: str


class Unary(Expr):
    """`not` or `-`."""

    op: str
    operand: Expr


class Binary(Expr):
    """An operation on two expressions."""

    op: str
    left: Expr
    right: Expr


_LEVELS = (("or",), ("and",), ("not",), ("==", "!=", "<=", ">=", "<", ">"), ("+", "-"),
           ("*", "//", "%"), ("neg",))  # fmt: skip
_LEVEL = {op: level for level, ops in enumerate(_LEVELS) for op in ops}


def _text(expr: Expr, level: int) -> str:
    """The text of `expr`, in brackets where it binds looser than `level`."""
    if isinstance(expr, Const):
        if isinstance(expr.value, bool):
            return str(expr.value).lower()
        # A negative constant binds as a negation does.
        own, text = (_LEVEL["neg"], str(expr.value)) if expr.value < 0 else (99, str(expr.value))
    elif isinstance(expr, Name):
        return expr.name
    elif isinstance(expr, Unary):
        own = _LEVEL["not" if expr.op == "not" else "neg"]
        text = f"{'not ' if expr.op == 'not' else '-'}{_text(expr.operand, own)}"
    elif isinstance(expr, Binary):
        own = _LEVEL[expr.op]
        # Comparisons do not chain, the others group to the left.
        left = _text(expr.left, own + 1 if own == _LEVEL["=="] else own)
        text = f"{left} {expr.op} {_text(expr.right, own + 1)}"
    else:
        raise TypeError(f"not an expression: {expr!r}")
    return f"({text})" if own < level else text


class EvalError(Exception):
    """An expression that has no value: `kind` is `type` or `zero`."""

    def __init__(self, kind: str, expr: Expr, got: str) -> None:
        super().__init__(got)
        self.kind, self.expr, self.got = kind, expr, got


_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "+": add, "-": sub, "*": mul, "//": floordiv, "%": mod,
}  # fmt: skip
_ORDER: dict[str, Callable[[int, int], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}
_EQUAL: dict[str, Callable[[ExprValue, ExprValue], bool]] = {"==": eq, "!=": ne}


def evaluate(expr: Expr, values: Mapping[str, ExprValue]) -> ExprValue | None:
    """The value of an expression, or None where a name it needs has none.

    `false and x` is false, and `true or x` true, whether or not x is known.

    Raises:
        EvalFault: an operand of the wrong type, or a division by zero.
    """
    if isinstance(expr, Const):
        return expr.value
    if isinstance(expr, Name):
        return values.get(expr.name)
    if isinstance(expr, Unary):
        operand = evaluate(expr.operand, values)
        if expr.op == "not":
            return None if operand is None else not _boolean(expr, operand)
        return None if operand is None else -_integer(expr, operand)
    if isinstance(expr, Binary):
        if expr.op in ("and", "or"):
            return _either(expr, values)
        return _binary(expr, evaluate(expr.left, values), evaluate(expr.right, values))
    raise TypeError(f"not an expression: {expr!r}")


def _either(expr: Binary, values: Mapping[str, ExprValue]) -> bool | None:
    """`and`, `or`: a side that decides does so even where the other has no value."""
    decisive = expr.op == "or"
    sides: list[bool | None] = []
    division: EvalError | None = None
    for side in (expr.left, expr.right):
        try:
            value = evaluate(side, values)
        except EvalError as bad:
            if bad.kind != "zero":
                raise
            division = bad
            continue
        sides.append(None if value is None else _boolean(expr, value))
    if decisive in sides:
        return decisive
    if division is not None:
        if None in sides:
            return None  # the unknown side may still decide
        raise division
    return None if None in sides else not decisive


def _binary(expr: Binary, left: ExprValue | None, right: ExprValue | None) -> ExprValue | None:
    op = expr.op
    if op in _EQUAL:
        if left is None or right is None:
            return None
        if isinstance(left, bool) != isinstance(right, bool):
            raise EvalError("type", expr, f"{format_value(left)} {op} {format_value(right)}")
        return _EQUAL[op](left, right)
    numbers = [_integer(expr, v) for v in (left, right) if v is not None]
    if op in ("//", "%") and right == 0 and right is not None:
        what = "the right side" if isinstance(expr.right, Const) else str(expr.right)
        raise EvalError("zero", expr, f"{what} is 0")
    if len(numbers) < 2:
        return None
    return _ORDER[op](*numbers) if op in _ORDER else _ARITHMETIC[op](*numbers)


def _boolean(expr: Unary | Binary, value: ExprValue) -> bool:
    if isinstance(value, bool):
        return value
    raise EvalError("type", expr, f"'{expr.op}' takes true or false, got {value}")


def _integer(expr: Unary | Binary, value: ExprValue) -> int:
    if isinstance(value, bool):
        raise EvalError("type", expr, f"'{expr.op}' takes integers, got {format_value(value)}")
    return value


def format_value(value: ExprValue | None) -> str:
    """A value as a plan writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
