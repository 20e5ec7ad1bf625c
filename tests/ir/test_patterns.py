"""Patterns: text to frozen value and back, what they spell out, what they match."""

from __future__ import annotations

import random
import re
from itertools import product

import pytest

from planc.bind.pattern_matcher import PatternMatcher, is_literal_path, matches_glob
from planc.ir.pattern import MAX_ALTERNATIVES, Pattern, PatternError

CANONICAL = [
    ("lm_head", "lm_head"),
    ("root", "root"),
    ("model.layers.*", "model.layers.*"),
    ("model.**.q_proj", "model.**.q_proj"),
    ("{a,b}", "{a,b}"),
    ("{ a , b , }", "{a,b}"),
    ("{a,\n  b}", "{a,b}"),
    ("{q,k,v}_proj", "{q,k,v}_proj"),
    ("x.{0..15}.y", "x.{0..15}.y"),
    ("x.{0..3,7,a}.y", "x.{0..3,7,a}.y"),
    ("x.!{0,1}.y", "x.!{0,1}.y"),
    ("*_proj", "*_proj"),
    ("block:Linear", "block:Linear"),
    ("block.*:Linear?", "block.*:Linear?"),
    ("adapters.my-adapter", "adapters.my-adapter"),
]


@pytest.mark.parametrize(("text", "canonical"), CANONICAL)
def test_parse(text: str, canonical: str) -> None:
    pattern = Pattern.parse(text)
    assert str(pattern) == canonical
    assert Pattern.parse(canonical) == pattern
    assert hash(Pattern.parse(canonical)) == hash(pattern)


FAULTS = [
    # text, what is said, where
    ("a..b", "a name is missing next to a dot", 1, 3),
    (".a", "a name is missing next to a dot", 0, 1),
    ("a.", "a name is missing next to a dot", 1, 3),
    ("", "a name is missing next to a dot", 0, 1),
    ("a.{b", "this brace is not closed", 2, 4),
    ("a.b}", "'}' is not allowed in a pattern", 3, 4),
    ("a.{}", "an empty choice in {}", 2, 4),
    ("a.{b,,c}", "an empty choice in {b,,c}", 2, 8),
    ("a.{b c}", "'b c' is neither a name nor a range in {b c}", 2, 7),
    ("a.{5..2}", "the range 5..2 is empty", 2, 8),
    ("a.{*}", "'*' is neither a name nor a range in {*}", 2, 5),
    ("a.!b", "'!' must precede braces that are a name by themselves", 2, 4),
    ("a.!{0}b", "'!' must precede braces that are a name by themselves", 2, 7),
    ("a.b**", "'**' must be a name by itself", 2, 5),
    ("a b", "' ' is not allowed in a pattern", 1, 2),
]


@pytest.mark.parametrize(("text", "message", "start", "end"), FAULTS)
def test_faults(text: str, message: str, start: int, end: int) -> None:
    with pytest.raises(PatternError) as caught:
        Pattern.parse(text)
    assert (caught.value.message, caught.value.start, caught.value.end) == (message, start, end)
    assert not caught.value.limit


@pytest.mark.parametrize(
    "text",
    [
        "{0..999999999}",
        "{a,b}" * 40,
        ".".join(["{0..99}"] * 3),
        ".".join("a" * 65),
        f"{{0..{MAX_ALTERNATIVES}}}",
    ],
)
def test_limits(text: str) -> None:
    with pytest.raises(PatternError) as caught:
        Pattern.parse(text)
    assert caught.value.limit


def test_alternatives() -> None:
    pattern = Pattern.parse("model.*.{q,k}_{a,b}.!{0,1}.{0..1}")
    assert [".".join(names) for names in pattern.alternatives()] == [
        f"model.*.{head}_{tail}.!{{0,1}}.{i}" for head, tail, i in product("qk", "ab", "01")
    ]
    assert len(pattern) == 8


def as_regex(names: tuple[str, ...]) -> re.Pattern[str]:
    """The pattern as a regular expression over the dotted name: an independent reading."""
    text = ""
    for name in names:
        if name == "**":
            text += r"(?:\.[^.]+)*"
        elif name.startswith("!"):
            banned = "|".join(re.escape(n) + r"(?![^.])" for n in name[2:-1].split(","))
            text += rf"\.(?!{banned})[^.]+"
        elif name == "*":
            text += r"\.[^.]+"
        else:
            text += r"\." + ".*".join(map(re.escape, name.split("*"))).replace(".*", "[^.]*")
    return re.compile(text)


def test_matching_agrees_with_regular_expressions() -> None:
    rng = random.Random(7)
    pieces = ["a", "b", "ab", "*", "**", "a*", "*b", "a*b", "!{a,b}", "!{ab}"]
    names = [n for size in (1, 2, 3, 4) for n in product(["a", "b", "ab", "aab"], repeat=size)]
    for _ in range(300):
        patterns = [tuple(rng.choices(pieces, k=rng.randint(1, 4))) for _ in range(rng.randint(1, 6))]
        matcher = PatternMatcher()
        for tag, pattern in enumerate(patterns):
            matcher.add(pattern, tag)
        regexes = [as_regex(pattern) for pattern in patterns]
        for name in rng.sample(names, 40):
            dotted = "." + ".".join(name)
            wanted = {i for i, regex in enumerate(regexes) if regex.fullmatch(dotted)}
            assert set(matcher.match(name)) == wanted, (patterns, name)


def test_many_stars_take_no_time() -> None:
    # A backtracking matcher would need 2 ** 40 steps.
    assert not matches_glob("*a" * 40 + "b", "a" * 200)
    matcher = PatternMatcher()
    matcher.add(("**", "a") * 20 + ("b",), 0)
    assert list(matcher.match(("a",) * 60)) == []


def test_literal() -> None:
    assert is_literal_path(("model", "norm"))
    assert not is_literal_path(("model", "*"))
    assert not is_literal_path(("model", "a*"))
    assert not is_literal_path(("model", "!{a}"))


def test_a_negated_range_is_not_spelled_out() -> None:
    matcher = PatternMatcher()
    matcher.add(("x", "!{0..999999999,a}"), 0)
    assert [list(matcher.match(("x", name))) for name in ("5", "a", "1000000000", "05", "b")] == [
        [],
        [],
        [0],
        [0],
        [0],
    ]
