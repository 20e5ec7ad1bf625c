"""Text to syntax tree, with a diagnostic for every line that is not in the language."""

from __future__ import annotations

import gc
from threading import Lock
from typing import Any

from lark import Tree, UnexpectedInput

from planc.syntax.grammar import lark_parser
from planc.syntax.parse_tree import ParseTree
from planc.syntax.recovery import Recovery, RecoveryStalled, ReportSyntaxError

_ONE_AT_A_TIME = Lock()
"""The parser keeps its open brackets in itself, and the garbage collector is the process's."""


def parse_tree(text: str, report: ReportSyntaxError) -> ParseTree:
    """The tree of a plan's text; broken lines are reported and left out."""
    with _ONE_AT_A_TIME:
        return _parse(text, report)


def _parse(text: str, report: ReportSyntaxError) -> ParseTree:
    built, newlines = lark_parser()
    # The last statement, too, ends with a newline.
    text = text if text.endswith("\n") else f"{text}\n"
    recovery = Recovery(text, newlines, report)
    collecting = gc.isenabled()
    gc.disable()  # 1.4 times as fast on a large plan: nothing made here is garbage
    try:
        return built.parse(text)
    except UnexpectedInput as error:
        return _resumed(error, recovery)
    finally:
        if collecting:
            gc.enable()


def _resumed(error: UnexpectedInput, recovery: Recovery) -> ParseTree:
    """Go on after an error, and after the next. lark's own loop gives up where the end of
    the text is met twice, as behind a bracket and a block that are both open."""
    while True:
        try:
            recovery(error)
            standing: Any = error.interactive_parser
            branch: ParseTree = standing.resume_parse()
        except RecoveryStalled:
            return Tree("plan", [])
        except UnexpectedInput as following:
            error = following
        else:
            return branch
