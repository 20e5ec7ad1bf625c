"""Parses one expression or layout by itself, for the data form and for Python."""

from __future__ import annotations

from functools import lru_cache

from planc.ir.diagnostic import Diagnostic
from planc.ir.expr import Expr
from planc.ir.layout import Layout
from planc.ir.scalar import ScalarError, register_parser
from planc.ir.source import Source
from planc.syntax.read_text import read_text


@lru_cache(maxsize=4096)
def parse_expr(text: str) -> Expr:
    """Read an expression, as `tp <= 8`.

    Raises:
        ScalarError: the text is not one.
    """
    # Brackets, so that it may go on over lines here as in data.
    document = read_text(Source("", f"require (\n{text}\n)"))
    _raise_first(document.diagnostics, text, "an expression", len("require (\n"))
    if len(document.plan.requires) != 1 or document.plan.requires[0].why is not None:
        raise ScalarError("S001", f"{text!r} is not an expression")
    return document.plan.requires[0].condition


@lru_cache(maxsize=4096)
def parse_layout(text: str) -> Layout:
    """Read a layout: `replicate`, `partial`, `shard(1)`, or the name of a let.

    Raises:
        ScalarError: the text is not one.
    """
    # A layout is by itself in one place only: after the arrow of a rule.
    document = read_text(Source("", f"tensor x {{\nx y -> {text}\n}}"))
    _raise_first(document.diagnostics, text, "a layout", len("tensor x {\nx y -> "))
    rules = document.plan.blocks[0].rules if document.plan.blocks else ()  # type: ignore[union-attr]
    layout = rules[0].output if len(rules) == 1 else None
    if layout is None or "".join(str(layout).split()) != "".join(text.split()):
        raise ScalarError("S001", f"{text!r} is not a layout")
    return layout


def _raise_first(diagnostics: tuple[Diagnostic, ...], text: str, what: str, start: int) -> None:
    """Raise the first error of the line around the scalar, as an error of the scalar."""
    for error in diagnostics:
        # Other laws are about the line around the scalar, not about the scalar.
        code = error.law.code if error.law.code in ("S003", "S006") else "S001"
        # The author of the text did not write what follows it.
        ends_early = error.label.span.start >= start + len(text)
        message = "it ends too early" if ends_early else error.message
        shown = text if len(text) < 60 else text[:57] + "..."
        raise ScalarError(code, f"{shown!r} is not {what}: {message}")


register_parser(Expr, parse_expr)
register_parser(Layout, parse_layout)
