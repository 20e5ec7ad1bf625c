"""A text to its syntax tree, with an error for every line that is not in the language."""

from __future__ import annotations

import gc
from threading import Lock
from typing import Any

from lark import Tree, UnexpectedInput

from planc.syntax.grammar import lark_parser
from planc.syntax.parse_tree import ParseTree
from planc.syntax.recovery import Recovery, RecoveryStalled, ReportSyntaxError

_PARSER_LOCK = Lock()
"""The parser has state, its open brackets, and the garbage collector belongs to the whole process."""


def parse_tree(text: str, report: ReportSyntaxError) -> ParseTree:
    """The tree of a plan's text. Lines with errors are reported and left out."""
    with _PARSER_LOCK:
        return _parse(text, report)


def _parse(text: str, report: ReportSyntaxError) -> ParseTree:
    built, newlines = lark_parser()
    # The last statement, too, ends with a newline.
    text = text if text.endswith("\n") else f"{text}\n"
    recovery = Recovery(text, newlines, report)
    collecting = gc.isenabled()
    gc.disable()  # 1.4 times as fast on a large plan: parsing makes no garbage
    try:
        return built.parse(text)
    except UnexpectedInput as error:
        return _parse_after(error, recovery)
    finally:
        if collecting:
            gc.enable()


def _parse_after(error: UnexpectedInput, recovery: Recovery) -> ParseTree:
    """Resume after each error. lark's own loop gives up where it meets the end of the text twice, as
    after a bracket and a block that are both open."""
    while True:
        try:
            recovery(error)
            interactive: Any = error.interactive_parser
            tree: ParseTree = interactive.resume_parse()
        except RecoveryStalled:
            return Tree("plan", [])
        except UnexpectedInput as following:
            error = following
        else:
            return tree
