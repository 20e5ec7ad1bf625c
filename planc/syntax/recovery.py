"""Recovery from syntax errors, so that planc reports every line with an error once.

lark calls `Recovery` with the error and the parser in its state. It pops the stack to where a
statement, or an entry of a block, may begin, and skips the *text* to the end of the line: the
contextual lexer knows no tokens there. This uses parts of lark that are not documented, hence
`lark>=1.3,<2`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

from lark import Token, UnexpectedInput, UnexpectedToken

from planc.closest import closest_match
from planc.syntax.grammar import NewlineFilter
from planc.syntax.terminals import describe_terminals, statement_keywords

ReportSyntaxError = Callable[[str, int, int, str, dict[str, str]], None]
"""Called with a code, an offset, an end, a headline and details."""

_MARK = re.compile(r'#[^\n]*|"(?:[^"\\\n]|\\.)*"|[()\n]')
_BRACES = re.compile(r"^[ \t]*\}|^[^#\n]*\{(?=[ \t]*(?:#.*)?$)", re.MULTILINE)
_ARGUMENT = re.compile(r"\r?\n[ \t]*(?:[A-Za-z_0-9]+[ \t]*:[ \t][^\n]*->|\))")
_BLOCK_END = re.compile(r"^[ \t]*\}", re.MULTILINE)
_FAR = 1_000
"""How far a bracket may close from where it opened, so that recovery stays linear."""
_WORD = re.compile(r"[A-Za-z0-9_]+|.", re.DOTALL)
_ASCII_WORD = re.compile(r"[A-Za-z0-9_]+")
_BAD_ESCAPE = re.compile(r'"(?:[^"\\]|\\["\\])*(\\[^"\\])')
_BRACE_BELOW = re.compile(r"\r?\n\s*\{")
_ENDS = {"_NEWLINE": "the line ends here", "$END": "the plan ends here"}


_HINTS = tuple(
    (re.compile(pattern), hint)
    for pattern, hint in (
        (r"[^/]/$", "division is '//', of integers"),
        (r"[A-Za-z0-9_]\[$", "an index in a list is a name: layers.0"),
        (r"[<>=]=?[^<>=]+(?:[<>]=?|[=!]=)$", "comparisons do not chain: join two with 'and'"),
        (r"[A-Za-z0-9_]\.[A-Za-z_][A-Za-z0-9_]*$", "a name in an expression has no dots"),
        (r"\{[^{}]*\{[^{}]*\}[^{}]*\}$", "a choice holds no braces"),
        (r"\(\s*-\s*[0-9]+\s*:$", "positions count from 0"),
        (r"\?:$", "'?' comes last, after the class"),
    )
)
_BARE_SHARD = re.compile(r"\bshard[ \t]*$")
MAX_ACCEPTS_CALLS = 50
"""Errors for which lark computes exactly which terminals are allowed."""


class RecoveryStalled(Exception):
    """Recovery made no progress: the rest of the text is not read."""


class Recovery:
    """Reports the errors of one parse, and moves its parser to where it can resume."""

    def __init__(self, text: str, newlines: NewlineFilter, report: ReportSyntaxError) -> None:
        self.text, self.newlines, self.report = text, newlines, report
        self.last_resume = -1
        self.no_block_end_left = False
        self.accepts_calls = 0
        self.block_braces: list[tuple[int, bool]] | None = None
        # `override` begins entries of blocks too.
        keywords = "|".join(word for word in statement_keywords() if word != "override")
        self.statement = re.compile(rf"[ \t]*(?:{keywords})[ \t]")
        """A line that begins a statement, and not an entry of a block."""
        self.next_statement = re.compile(rf"^(?:{keywords})[ \t]", re.MULTILINE)

    def __call__(self, error: UnexpectedInput) -> None:
        at, end, got = self._place(error)
        interactive: Any = error.interactive_parser
        resume = self._handle(error, interactive.parser_state, at, end, got)
        if resume <= self.last_resume:
            raise RecoveryStalled
        self.last_resume = resume
        interactive.lexer_thread.state.line_ctr.char_pos = resume

    def _place(self, error: UnexpectedInput) -> tuple[int, int, str]:
        """The offsets of the error, and the terminal there."""
        if isinstance(error, UnexpectedToken) and error.token.type == "$END":
            return len(self.text), len(self.text), "$END"
        at = error.pos_in_stream or 0
        if isinstance(error, UnexpectedToken):
            kind = error.token.type
            return at, at if kind == "_NEWLINE" else at + len(error.token), kind
        found = _WORD.match(self.text, at)
        return at, found.end() if found else at, ""

    def _handle(self, error: UnexpectedInput, state: Any, at: int, end: int, got: str) -> int:
        """Report the error, pop the stack, and return the offset where parsing resumes."""
        opened = self.newlines.open_brackets[0] if self.newlines.open_brackets else None
        if opened is not None and opened.start_pos is not None:
            close = self._closing(opened.start_pos)
            if close is None:
                start = opened.start_pos
                self.report("S002", start, start + 1, "this bracket is never closed", {"needed": "')'"})
                self._pop(state)
                return self._arguments_end(start)
            self._unexpected(error, at, end, got)
            self._pop(state)
            return self._line_end(max(close, at))
        brace = self._brace(state)
        line = self.text.rfind("\n", 0, at) + 1
        if brace is not None and (got == "$END" or self._ends_block(line)):
            self.report("S002", brace, brace + 1, "this block is never closed", {"needed": "'}'"})
            self._pop(state)
            self._feed(state, at)
            return at if got == "$END" else line
        self._unexpected(error, at, end, got)
        brace_below = _BRACE_BELOW.match(self.text, at)
        if got == "_NEWLINE" and brace_below and "LBRACE" in getattr(error, "expected", ()):
            return brace_below.end() - 1  # the block is read all the same
        if self._last_value(state) == "RBRACE":
            return self._line_end(at)
        self._pop(state)
        return self._after_block(at) if brace is None else self._line_end(at)

    def _unexpected(self, error: UnexpectedInput, at: int, end: int, got: str) -> None:
        """Report an unexpected piece of text, and what is allowed in its place."""
        found = self.text[at:end]
        if got == "" and found == '"':
            end = self._line_end(at)
            if escape := _BAD_ESCAPE.match(self.text, at, end):
                place = escape.start(1), escape.end(1)
                self.report("S003", *place, f"there is no escape '{escape[1]}'", {"needed": '\\" or \\\\'})
                return
            self.report("S003", at, end, "this text is not closed on its line", {"needed": "'\"'"})
        elif got == "" and not _ASCII_WORD.fullmatch(found):
            hint = self._hint(at, end)
            self.report(
                "S003", at, end, f"'{found}' is not part of the language", {"help": hint} if hint else {}
            )
        elif (brace := self._pattern_brace(at)) is not None:
            self.report("S005", brace, brace + 1, "this brace is not closed", {"needed": "'}'"})
        else:
            allowed = self._allowed(error)
            details = {"needed": describe_terminals(allowed)}
            if _BARE_SHARD.search(self.text, max(0, at - 40), at):
                details["needed"] = "shard(DIM), as shard(-1)"
            if hint := self._hint(at, end):
                details["help"] = hint
            if "_LET" in allowed and (meant := closest_match(found, statement_keywords())):
                details["meant"] = meant
            self.report("S001", at, end, _ENDS.get(got) or f"unexpected '{found}'", details)

    def _hint(self, at: int, end: int) -> str | None:
        """A hint for some mistakes that people make."""
        line = self.text[self.text.rfind("\n", 0, at) + 1 : end][-200:]
        return next((hint for pattern, hint in _HINTS if pattern.search(line)), None)

    def _allowed(self, error: Any) -> set[str]:
        """The terminals that are allowed at an error. lark computes them exactly by trying each on a copy
        of the stack; in a text of many errors they are taken from the tables."""
        self.accepts_calls += 1
        if self.accepts_calls <= MAX_ACCEPTS_CALLS:
            return set(error.interactive_parser.accepts())
        return set(getattr(error, "expected", None) or getattr(error, "allowed", None) or ())

    # ---- the text --------------------------------------------------------------

    def _ends_block(self, line: int) -> bool:
        """Whether a line in a block is a statement after a block that is never closed: it begins as a
        statement, and another block begins before a brace closes this one."""
        if not self.statement.match(self.text, line):
            return False
        if self.block_braces is None:
            self.block_braces = [(m.start(), m[0].endswith("{")) for m in _BRACES.finditer(self.text)]
        after = bisect_left(self.block_braces, (line, False))
        return after == len(self.block_braces) or self.block_braces[after][1]

    def _pattern_brace(self, at: int) -> int | None:
        """The brace that took the rest of this line into a pattern, if there is one."""
        line = self.text[self.text.rfind("\n", 0, at) + 1 : at]
        opened = line.rfind("{")
        if (
            opened < 0
            or "}" in line[opened:]
            or not line[opened + 1 :].strip()
            or line[:opened].endswith(" ")
        ):
            return None
        return at - len(line) + opened

    def _line_end(self, at: int) -> int:
        end = self.text.find("\n", at)
        if end < 0:
            return len(self.text)
        return end - 1 if self.text[end - 1 : end] == "\r" else end

    def _arguments_end(self, opened: int) -> int:
        """The end of the line of a bracket that is never closed, or of the arguments below it."""
        end = self._line_end(opened)
        while argument := _ARGUMENT.match(self.text, end):
            end = self._line_end(argument.end())
        return end

    def _closing(self, opened: int) -> int | None:
        """Where the bracket at `opened` closes; None if a new statement comes first."""
        depth = 0
        for mark in _MARK.finditer(self.text, opened, opened + _FAR):
            depth += (mark[0] == "(") - (mark[0] == ")")
            if depth == 0:
                return mark.start()
            after = mark.end()
            if mark[0] == "\n" and (
                self.text.startswith("}", after) or self.statement.match(self.text, after)
            ):
                return None
        return None

    def _after_block(self, at: int) -> int:
        """The end of the line, or of the block whose first line this is."""
        end = self._line_end(at)
        line = self.text[self.text.rfind("\n", 0, at) + 1 : end].split("#")[0].rstrip()
        if not line.endswith("{"):
            return end
        close = None if self.no_block_end_left else _BLOCK_END.search(self.text, end)
        self.no_block_end_left = close is None
        if close is None or self.next_statement.search(self.text, end, close.start()):
            return end
        return self._line_end(close.start())

    # ---- the stack -------------------------------------------------------------

    def _pop(self, state: Any) -> None:
        """Pop the stack to where a statement, or an entry of a block, may begin."""
        states, stack, values = state.parse_conf.states, state.state_stack, state.value_stack
        while len(stack) > 1:
            row = states[stack[-1]]
            if "_NEWLINE" in row and ("_LET" in row or "PATTERN" in row):
                return
            stack.pop()
            values.pop()

    def _brace(self, state: Any) -> int | None:
        """The offset of the brace of the open block."""
        for value in reversed(state.value_stack):
            if isinstance(value, Token):
                if value.type == "RBRACE":
                    return None
                if value.type == "LBRACE":
                    return value.start_pos
        return None

    def _last_value(self, state: Any) -> str:
        values = state.value_stack
        return values[-1].type if values and isinstance(values[-1], Token) else ""

    def _feed(self, state: Any, at: int) -> None:
        """Close the open block."""
        for kind, text in (("RBRACE", "}"), ("_NEWLINE", "\n")):
            state.feed_token(Token(kind, text, start_pos=at, end_pos=at))
