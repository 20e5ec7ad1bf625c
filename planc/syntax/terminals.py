"""Terminals of the grammar, as messages name them."""

from __future__ import annotations

from collections.abc import Iterable

from planc.ir.block_kinds import BLOCK_KINDS

_STATEMENTS = ("plan", "extends", "model", "mesh", "option", "let", "require", "accept", "override")

_NAMES = {
    "NAME": "a name", "DOTTED": "a dotted name", "INT": "a number", "STRING": "a text in quotes", "PATTERN": "a pattern",
    "KEY": "a setting", "DASHED": "a value", "ARROW": "'->'", "COMPARE": "a comparison", "TIMES": "an operator",
    "PLUS": "an operator", "MINUS": "an operator", "_PLUS": "'+'", "_EQUAL": "'='",
    "_COMMA": "','", "_COLON": "':'", "_LPAR": "'('", "RPAR": "')'", "LBRACE": "'{'",
    "RBRACE": "'}'", "_NEWLINE": "the end of the line", "$END": "the end of the plan",
    "TRUE": "true or false", "FALSE": "true or false",
}  # fmt: skip
_OPERATORS = {"COMPARE", "TIMES", "PLUS", "MINUS", "_OR", "_AND"}


def statement_keywords() -> tuple[str, ...]:
    """The words that a statement begins with, those of blocks among them."""
    return (*_STATEMENTS, *BLOCK_KINDS)


def terminal_name(terminal: str) -> str:
    """A terminal as a message names it: `_WHEN` is 'when', `_COMMA` is ','."""
    return _NAMES.get(terminal) or f"'{terminal.strip('_').lower()}'"


def describe_terminals(terminals: Iterable[str]) -> str:
    """The terminals that are allowed at a place, as one phrase."""
    allowed = set(terminals)
    if {"_PLAN", "_LET", "_MESH"} <= allowed:
        return f"a statement: {', '.join(statement_keywords())}"
    if "TIMES" in allowed:
        allowed -= _OPERATORS
    if "$END" in allowed:
        allowed = allowed - {"$END"} | {"_NEWLINE"}
    elif len(allowed) > 1:
        # The end of the line is allowed almost anywhere: naming it does not help.
        allowed.discard("_NEWLINE")
    names = sorted({terminal_name(each) for each in allowed}, key=lambda name: (name[0] == "'", name))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
