"""The grammar of a plan, and the parser that lark makes of it; its tables are kept in the user's cache folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import cache
from zlib import crc32

import lark
from lark import Lark, Token
from lark.lark import PostLex

from planc.ir.block_kinds import BLOCK_KINDS
from planc.paths import cache_folder, shipped_path
from planc.syntax.blocks.block_codec import codec_of


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


def plan_grammar() -> str:
    """The grammar of a plan: `grammar/plan.lark`, and what the codec of each kind of block adds."""
    with open(shipped_path("grammar", "plan.lark"), encoding="utf-8") as file:
        statements = file.read()
    blocks = [codec_of(kind).grammar for kind in BLOCK_KINDS]
    return "\n".join((statements, f"_block: {' | '.join(BLOCK_KINDS)}", *blocks))


def lark_parser() -> tuple[Lark, NewlineFilter]:
    """The parser of plans, and the newline filter in it."""
    return _parser_for(tuple(BLOCK_KINDS))


@cache
def _parser_for(kinds: tuple[str, ...]) -> tuple[Lark, NewlineFilter]:
    """The parser for a language with these kinds of block."""
    newlines = NewlineFilter()
    grammar = plan_grammar()
    built = Lark(
        grammar,
        parser="lalr",
        lexer="contextual",
        start="plan",
        postlex=newlines,
        maybe_placeholders=False,
        cache=_cache_file(grammar) or False,
    )
    return built, newlines


def _cache_file(grammar: str) -> str | None:
    """The file for the tables of a grammar, which only this user can write, or None: lark pickles them."""
    folder = cache_folder()
    if folder is None:
        return None
    version = f"{lark.__version__}-{sys.version_info[0]}.{sys.version_info[1]}"
    # lark compares its own hash of the grammar: this one only keeps grammars apart.
    return os.path.join(folder, f"grammar-{version}-{crc32(grammar.encode()):08x}.pickle")
