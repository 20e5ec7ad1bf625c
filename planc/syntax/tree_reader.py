"""Reads names, patterns, layouts and expressions from a syntax tree.

Statements (`planc/syntax/statements.py`) and the codecs of blocks (`planc/syntax/blocks/`) are decoded with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from lark import Token, Tree

from planc.ir.diagnostic import Diagnostic, Fix, Label, diagnostic
from planc.ir.expr import Binary, Const, Expr, Name, Unary
from planc.ir.layout import KEYWORD_LAYOUTS, Layout, LayoutRef, Shard
from planc.ir.pattern import Pattern, PatternError
from planc.ir.source import Source
from planc.syntax.parse_tree import ParseTree, tree_span
from planc.syntax.spanned import Spanned

_LAYOUTS = "shard(DIM), replicate, partial, or the name of a let"
MAX_EXPR_TERMS = 200
"""Names and numbers of one expression."""
MAX_EXPR_DEPTH = 250
"""Operations and brackets of one expression that are nested in each other."""
MAX_DIGITS = 12


class CallArgument(NamedTuple):
    """One argument in brackets: `key: value -> after`."""

    key: Token | None
    value: ParseTree | Token
    after: ParseTree | Token | None
    tree: ParseTree


class CallSyntax(NamedTuple):
    """A name, and its arguments if it has brackets."""

    name: Token
    arguments: list[CallArgument] | None
    tree: ParseTree


class TreeReader:
    """Reads the syntax tree of one source, and collects diagnostics."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.diagnostics: list[Diagnostic] = []

    def report(
        self,
        code: str,
        tree: Any,
        message: str,
        label: str = "",
        *notes: str,
        secondary: tuple[tuple[Any, str], ...] = (),
        fix: Fix | None = None,
    ) -> None:
        """Report a violation of a law at a token, a tree, or a pair of offsets.

        Args:
            secondary: further places that have part in it, each with the text of its label.
        """
        primary = self._label(tree, label)
        others = tuple(self._label(other, text) for other, text in secondary)
        self.diagnostics.append(diagnostic(code, primary, message, *notes, secondary=others, fix=fix))

    def _label(self, tree: Any, text: str) -> Label:
        return Label(self.source, self.source.span(*tree_span(tree)), text)

    # ---- leaves ----------------------------------------------------------------

    def name(self, token: Token) -> Spanned[str]:
        """A name, as it is written."""
        return Spanned(str(token), token)

    def text(self, token: Token) -> Spanned[str]:
        """A text in quotes; `\\"` and `\\\\` are its only escapes."""
        return Spanned(token[1:-1].replace('\\"', '"').replace("\\\\", "\\"), token)

    def integer(self, token: Token, sign: int = 1) -> int | None:
        """An integer; None where it has too many digits."""
        if len(token) > MAX_DIGITS:
            self.report(
                "S006", token, f"a number of {len(token)} digits", "", f"needed: at most {MAX_DIGITS} digits"
            )
            return None
        return sign * int(token)

    def pattern(self, token: Token) -> Spanned[Pattern] | None:
        """A pattern; None where it is not one."""
        try:
            return Spanned(Pattern.parse(token), token)
        except PatternError as bad:
            start = token.start_pos or 0
            offsets = (start + bad.start, min(start + bad.end, start + len(token)))
            if bad.limit:
                self.report("S006", offsets, bad.message)
            else:
                self.report("S005", offsets, "this is not a pattern", bad.message)
            return None

    def when(self, tree: ParseTree) -> Spanned[Expr] | None:
        """The condition of a `when`, or None where there is none."""
        return self.expr(tree.children[0]) if tree.children else None

    # ---- calls and layouts -----------------------------------------------------

    def call(self, tree: ParseTree) -> CallSyntax:
        """A name with its arguments: a style, a modifier, a layout."""
        children = tree.children
        items = [_item(i) for i in _trees(children[1])] if len(children) > 1 else None
        return CallSyntax(children[0], items, tree)  # type: ignore[arg-type]

    def layout(self, tree: ParseTree | Token) -> Spanned[Layout] | None:
        """A layout where the grammar allows an expression: a name, or `shard(1)`."""
        if isinstance(tree, Tree) and tree.data == "call":
            return self.call_layout(self.call(tree))
        self.report(
            "S001",
            tree,
            "this is not a layout",
            "",
            f"needed: {_LAYOUTS}",
        )
        return None

    def call_layout(self, call: CallSyntax) -> Spanned[Layout] | None:
        """The layout that a call writes: `shard(1)`, `replicate`, or the name of a let."""
        word = str(call.name)
        if call.arguments is None:
            if word == "shard":
                self.report("S001", call.tree, "shard needs a dim", "", "needed: shard(DIM)")
                return None
            return Spanned(KEYWORD_LAYOUTS.get(word) or LayoutRef(word), call.tree)
        if word != "shard":
            self.report("N104", call.name, f"'{word}' is not a layout", "", f"needed: {_LAYOUTS}")
            return None
        sign, number = _signed(call.arguments[:1])
        parts = _signed(call.arguments[1:]) if len(call.arguments) == 2 else (1, None)
        if number is None or len(call.arguments) > 2 or (len(call.arguments) == 2 and parts[1] is None):
            self.report("S001", call.tree, "shard takes one dim, and parts where it is fused", "",
                       "needed: shard(DIM) or shard(DIM, PARTS), integers")  # fmt: skip
            return None
        dim = self.integer(number, sign)
        count = 1 if parts[1] is None else self.integer(parts[1], parts[0])
        return None if dim is None or count is None else Spanned(Shard(dim, count), call.tree)

    # ---- expressions -----------------------------------------------------------

    def expr(self, tree: ParseTree | Token) -> Spanned[Expr] | None:
        """An expression; None where it is too long, or is not one."""
        if limit := _exceeded(tree):
            self.report("S006", tree, "this expression is too long", "", f"needed: at most {limit}")
            return None
        while isinstance(tree, Tree) and tree.data == "group":
            tree = tree.children[1]
        built = self._expr(tree)
        return None if built is None else Spanned(built, tree)

    def _expr(self, tree: ParseTree | Token) -> Expr | None:
        if isinstance(tree, Token):
            if tree.type == "INT":
                number = self.integer(tree)
                return None if number is None else Const(number)
            return Const(tree.type == "TRUE")
        kind, children = tree.data, tree.children
        if kind == "call":
            if len(children) > 1:
                self.report(
                    "S001",
                    tree,
                    "an expression cannot call anything",
                    "",
                    "needed: a name, a number, true or false",
                )
                return None
            return Name(str(children[0]))
        if kind == "group":
            return self._expr(children[1])
        if kind in ("not", "negative"):
            operand = self._expr(children[-1])
            if operand is None:
                return None
            # A negative number is one number, with or without brackets around it.
            positive = isinstance(operand, Const) and type(operand.value) is int and operand.value >= 0
            if kind == "negative" and positive:
                return Const(-operand.value)  # type: ignore[attr-defined]
            return Unary("not" if kind == "not" else "-", operand)
        left, right = self._expr(children[0]), self._expr(children[-1])
        if left is None or right is None:
            return None
        return Binary(str(kind) if kind in ("or", "and") else str(children[1]), left, right)


def _signed(items: list[CallArgument]) -> tuple[int, Token | None]:
    """The sign and the digits of a single integer."""
    if len(items) != 1 or items[0].key is not None or items[0].after is not None:
        return 1, None
    value, sign = items[0].value, 1
    if isinstance(value, Tree) and value.data == "negative":
        sign, value = -1, value.children[1]
    return sign, value if isinstance(value, Token) and value.type == "INT" else None


def _item(tree: ParseTree) -> CallArgument:
    children = list(tree.children)
    key = None
    if len(children) > 1 and isinstance(children[0], Token):
        following = children[1]
        if not (isinstance(following, Token) and following.type == "ARROW"):
            key = children.pop(0)
    return CallArgument(key, children[0], children[2] if len(children) > 2 else None, tree)  # type: ignore[arg-type]


def _trees(tree: Any) -> Iterator[ParseTree]:
    return (child for child in tree.children if isinstance(child, Tree))


def _exceeded(tree: Any) -> str | None:
    """The bound that an expression exceeds, if it does."""
    pending = [(tree, 0)]
    terms = 0
    while pending:
        tree, depth = pending.pop()
        if isinstance(tree, Token):
            terms += tree.type in ("INT", "NAME", "TRUE", "FALSE")
        else:
            pending.extend((child, depth + 1) for child in tree.children)
        if terms > MAX_EXPR_TERMS:
            return f"{MAX_EXPR_TERMS} names and numbers"
        if depth > MAX_EXPR_DEPTH:
            return f"{MAX_EXPR_DEPTH} operations or brackets, one inside the other"
    return None
