"""The parser: lark's tables for `grammar/plan.lark`, kept in the user's cache folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache

import lark
from lark import Lark, Token
from lark.lark import PostLex

from planc.paths import cache_folder, shipped_path


class NewlineFilter(PostLex):
    """Drops the newlines inside ( ), so that a line goes on there."""

    always_accept = ("_NEWLINE",)

    def __init__(self) -> None:
        self.open_brackets: list[Token] = []
        """The brackets open at the last token, outermost first."""

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        opened = self.open_brackets
        opened.clear()
        for token in stream:
            kind = token.type
            if kind == "_NEWLINE":
                if opened:
                    continue
            elif kind == "_LPAR":
                opened.append(token)
            elif kind == "RPAR" and opened:
                opened.pop()
            yield token


@cache
def lark_parser() -> tuple[Lark, NewlineFilter]:
    """The parser of whole plans and the newline filter that it runs on."""
    with open(shipped_path("grammar", "plan.lark"), encoding="utf-8") as file:
        text = file.read()
    newlines = NewlineFilter()
    built = Lark(
        text,
        parser="lalr",
        lexer="contextual",
        start="plan",
        postlex=newlines,
        maybe_placeholders=False,
        cache=_cache_file() or False,
    )
    return built, newlines


def _cache_file() -> str | None:
    """A file that only this user can write, or None: lark keeps pickles in it."""
    folder = cache_folder()
    if folder is None:
        return None
    version = f"{lark.__version__}-{sys.version_info[0]}.{sys.version_info[1]}"
    return os.path.join(folder, f"grammar-{version}.pickle")
