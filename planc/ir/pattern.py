"""Patterns of dotted module names: text to frozen value, and matching.

    model.layers.*.self_attn.{q,k,v}_proj:Linear?

`*` is one name (or, inside a name, any characters of it), `**` any number of
names, `{a,b}` a choice, `{0..15}` a range, `!{0,1}` one name but these, `:Linear`
keeps modules of that class, and a final `?` allows no match. `root` alone is the
model itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from planc.ir.record import Record
from planc.ir.scalar import Scalar, ScalarError

MAX_ALTERNATIVES = 10_000
"""Alternatives that the braces of one pattern may spell out."""
MAX_SEGMENTS = 64
"""Names that one pattern may have."""

RESERVED_WORDS = ("loss", "override", "remove", "replicate", "partial")
"""Words that are not a pattern by themselves."""

_TOKEN = re.compile(r"\*\*|\*|!|\{[^{}]*\}|[A-Za-z0-9_-]+")
_RANGE = re.compile(r"(0|[1-9][0-9]{0,8})\.\.(0|[1-9][0-9]{0,8})")
_ITEM = re.compile(r"[A-Za-z0-9_-]+")
_CLASS = re.compile(r":([A-Za-z_][A-Za-z0-9_]*)$")
_PLAIN = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*")


class PatternError(ScalarError):
    """A text that is not a pattern. `start` and `end` are offsets in it; `limit`: it is a pattern of
    more names than planc matches."""

    def __init__(self, message: str, start: int, end: int, *, limit: bool = False) -> None:
        super().__init__("S006" if limit else "S005", message)
        self.start, self.end, self.limit = start, end, limit


class Range(Record):
    """`{first..last}`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}..{self.last}"


class Choice(Record):
    """`{a,b,0..3}`: one of these. `negated`: a name that is none of them."""

    items: tuple[str | Range, ...]
    negated: bool = False

    def __str__(self) -> str:
        return f"{'!' if self.negated else ''}{{{','.join(map(str, self.items))}}}"

    def __len__(self) -> int:
        return sum(1 if isinstance(i, str) else i.last - i.first + 1 for i in self.items)

    def __contains__(self, name: object) -> bool:
        """Whether a name is one of the items, whatever their negation; ranges are not spelled out."""
        digits = isinstance(name, str) and name.isascii() and name.isdigit() and str(int(name)) == name
        return any(
            item == name if isinstance(item, str) else digits and item.first <= int(str(name)) <= item.last
            for item in self.items
        )

    def names(self) -> Iterator[str]:
        """Every name that it spells out."""
        for item in self.items:
            if isinstance(item, str):
                yield item
            else:
                yield from map(str, range(item.first, item.last + 1))


SegmentPiece = str | Choice
"""A part of a name: its own characters, `*`, or a choice."""
Segment = tuple[SegmentPiece, ...]
"""One name of a pattern; `("**",)` is any number of names."""


class Pattern(Record, Scalar):
    """A set of dotted module names."""

    description = "a pattern of dotted module names, as model.layers.*.mlp"

    segments: tuple[Segment, ...]
    class_name: str | None = None
    optional: bool = False

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a pattern.

        Raises:
            PatternError: the text is not a pattern, or spells out too many names.
        """
        if _PLAIN.fullmatch(text):
            _reject_keyword(text)
            plain = cls(tuple([(name,) for name in text.split(".")]))
            return plain if len(plain.segments) <= MAX_SEGMENTS else _within_limits(plain, text)
        body = text.removesuffix("?")
        named = _CLASS.search(body)
        class_name = named[1] if named else None
        body = body[: named.start()] if named else body
        _reject_keyword(text)
        return _within_limits(cls(_segments(body), class_name, text.endswith("?")), text)

    @property
    def is_root(self) -> bool:
        """Whether it is the model itself."""
        return self.segments == (("root",),)

    def __str__(self) -> str:
        body = ".".join(["".join(map(str, segment)) for segment in self.segments])
        kept = f":{self.class_name}" if self.class_name else ""
        return f"{body}{kept}{'?' if self.optional else ''}"

    def __len__(self) -> int:
        """The number of alternatives."""
        count = 1
        for segment in self.segments:
            for piece in segment:
                if not isinstance(piece, str) and not piece.negated:
                    count *= len(piece)
        return count

    def alternatives(self) -> Iterator[tuple[str, ...]]:
        """The pattern with its choices spelled out: names, `*`, `**`, globs, `!{...}`.
        `root` is the module of no names."""
        if self.is_root:
            return iter([()])
        heads: list[tuple[str, ...]] = [()]
        for segment in self.segments:
            names = _spellings(segment)
            heads = [(*head, name) for head in heads for name in names]
        return iter(heads)


def negated_choice(text: str) -> Choice:
    """The choice that `!{a,b}` writes."""
    choice = _piece(text[1:], 1)
    assert isinstance(choice, Choice)
    return choice


def _reject_keyword(text: str) -> None:
    """Reject a keyword in the place of a pattern: for a module of that name, braces are needed."""
    if text.startswith(("root.", "root:", "root?")):
        raise PatternError("'root' is the model itself: nothing can follow it", 0, len(text))
    if text in RESERVED_WORDS:
        raise PatternError(f"'{text}' is a keyword; a module of that name is {{{text}}}", 0, len(text))


def _spellings(segment: Segment) -> list[str]:
    if len(segment) == 1 and isinstance(segment[0], str):
        return [segment[0]]
    texts = [""]
    for piece in segment:
        plain = isinstance(piece, str) or piece.negated
        names = [str(piece)] if plain else list(piece.names())  # type: ignore[union-attr]
        texts = [head + name for head in texts for name in names]
    return texts


def _within_limits(pattern: Pattern, text: str) -> Pattern:
    count = len(pattern)
    if count > MAX_ALTERNATIVES:
        message = f"the braces spell out {count:,} names, more than {MAX_ALTERNATIVES:,}"
        raise PatternError(message, 0, len(text), limit=True)
    if len(pattern.segments) > MAX_SEGMENTS:
        message = f"{len(pattern.segments)} dotted names, more than {MAX_SEGMENTS}"
        raise PatternError(message, 0, len(text), limit=True)
    return pattern


def _segments(body: str) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    pieces: list[SegmentPiece] = []
    at, begun = 0, 0
    while at < len(body):
        if body[at] == ".":
            segments.append(_segment(pieces, begun, at))
            pieces, at, begun = [], at + 1, at + 1
            continue
        token = _TOKEN.match(body, at)
        if token is None:
            raise _character_error(body, at)
        pieces.append(_piece(token[0], at))
        at = token.end()
    segments.append(_segment(pieces, begun, at))
    return tuple(segments)


def _character_error(body: str, at: int) -> PatternError:
    if body[at] == "{":
        return PatternError("this brace is not closed", at, len(body))
    return PatternError(f"{body[at]!r} is not allowed in a pattern", at, at + 1)


def _piece(token: str, at: int) -> SegmentPiece:
    if not token.startswith("{"):
        return token
    items: list[str | Range] = []
    inner = token[1:-1].strip().removesuffix(",")
    for raw in inner.split(","):
        item = raw.strip()
        if span := _RANGE.fullmatch(item):
            first, last = int(span[1]), int(span[2])
            if first > last:
                raise PatternError(f"the range {item} is empty", at, at + len(token))
            items.append(Range(first, last))
        elif _ITEM.fullmatch(item):
            items.append(item)
        else:
            got = f"{item!r} is neither a name nor a range" if item else "an empty choice"
            raise PatternError(f"{got} in {token}", at, at + len(token))
    return Choice(tuple(items))


def _segment(pieces: list[SegmentPiece], start: int, end: int) -> Segment:
    if not pieces:
        raise PatternError("a name is missing next to a dot", max(0, start - 1), end + 1)
    if "!" in pieces:
        if len(pieces) != 2 or pieces[0] != "!" or not isinstance(pieces[1], Choice):
            raise PatternError("'!' must precede braces that are a name by themselves", start, end)
        return (Choice(pieces[1].items, negated=True),)
    if "**" in pieces and len(pieces) > 1:
        raise PatternError("'**' must be a name by itself", start, end)
    return tuple(pieces)
