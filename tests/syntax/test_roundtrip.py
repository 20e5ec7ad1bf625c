"""One plan in every form, and formatted: nothing is lost."""

from __future__ import annotations

import os
import re
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings

import planc
from planc.ir.document import Document
from planc.ir.pattern import Pattern
from planc.ir.plan import Plan
from planc.syntax.data.serialize import plan_to_json, plan_to_python, plan_to_yaml
from planc.syntax.formatter import format_document
from planc.syntax.read_file import read_bytes
from planc.syntax.unparse import unparse, unparse_round_trip
from tests.syntax.strategies import any_texts, patterns, plans, pool

PHASES = (Phase.explicit, Phase.generate, *([Phase.shrink] if os.environ.get("PLANC_SHRINK") else []))
"""Shrinking a plan takes minutes: it is done where `PLANC_SHRINK` is set."""
QUICK = settings(derandomize=True, database=None, deadline=None, max_examples=30, phases=PHASES)


def read(text: str, form: str = "text") -> Document:
    """The document of a text without faults."""
    document = read_bytes(text.encode(), f"x.{form}", form)
    if document.diagnostics:
        reported = "\n".join(f"{f.message} {f.label.span}" for f in document.diagnostics)
        pytest.fail(f"{reported}\n{text}")
    return document


def assert_same_plan(plan: Plan, wanted: Plan) -> None:
    """Two plans are equal. No bare `assert`: pytest would explain large ones for minutes."""
    if plan != wanted:
        pytest.fail(f"another plan:\n{unparse(plan)}\nin place of:\n{unparse(wanted)}")


# ---- forms ---------------------------------------------------------------------


@QUICK
@given(plans())
def test_text(plan: Plan) -> None:
    assert_same_plan(read(unparse(plan)).plan, plan)


@QUICK
@given(patterns())
def test_pattern(pattern: Pattern) -> None:
    assert Pattern.parse(str(pattern)) == pattern


@QUICK
@given(plans(any_texts()))
def test_json(plan: Plan) -> None:
    assert_same_plan(read(plan_to_json(plan), "json").plan, plan)


@QUICK
@given(plans(any_texts()))
def test_yaml(plan: Plan) -> None:
    assert_same_plan(read(plan_to_yaml(plan), "yaml").plan, plan)


@QUICK
@given(plans(any_texts()))
def test_python(plan: Plan) -> None:
    space: dict[str, Any] = {}
    exec(plan_to_python(plan), space)
    assert_same_plan(space["plan"], plan)


@QUICK
@given(plans())
def test_data(plan: Plan) -> None:
    assert_same_plan(planc.from_data(planc.to_data(plan)), plan)


# ---- the formatter -----------------------------------------------------------------


@QUICK
@given(plans())
def test_canonical_text_is_formatted(plan: Plan) -> None:
    text = unparse(plan)
    assert format_document(read(text)) == text


@pytest.mark.parametrize("seed", range(300))
def test_decorated_text(seed: int) -> None:
    rng = Random(seed)
    plan = rng.choice(pool())
    check_formatting(decorated(unparse(plan), rng), plan)


def check_formatting(text: str, plan: Plan | None = None) -> None:
    """Formatting keeps the plan and every comment, and is done after one run."""
    document = read(text)
    assert_same_plan(document.plan, plan or document.plan)
    formatted = format_document(document)
    reread = read(formatted)
    assert_same_plan(reread.plan, document.plan)
    assert format_document(reread) == formatted
    assert comments(formatted) == comments(text)


_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|\#[^\n]*|->|\s+|\w+|.')


def comments(text: str) -> list[str]:
    """The comments of a text in order, found without planc's own reader."""
    return [token.rstrip() for token in _TOKEN.findall(text) if token.startswith("#")]


def decorated(text: str, rng: Random) -> str:
    """The same plan written otherwise: blanks, comments, lines broken in brackets, CRLF."""
    numbers = iter(range(1, 10**6))
    some = rng.choice((0.02, 0.1, 0.3))
    out: list[str] = []
    depth, last = 0, ""
    tokens = [*_TOKEN.findall(text), ""]
    for token, after in zip(tokens, tokens[1:]):
        if token == "(":
            depth += 1
        elif token == ")":
            if last not in "(," and _may_end_with_comma(out) and rng.random() < some:
                out.append(",")
            depth -= 1
        last = last if token.isspace() else token
        out.append(token)
        if token.isspace() and "\n" not in token and rng.random() < some:
            out.append(rng.choice((" ", "\t", "   ")))
        if depth > 0 and token in "(),+*" and rng.random() < some:
            out.append(_gap(rng, numbers))
        if token == "{" and after.isspace() and "\n" in after and rng.random() < some:
            out.append(f"  # {next(numbers)}")
        if "\n" in token and rng.random() < some:
            own = next(numbers)
            out.append(rng.choice(("\n", f"    # {own} it's \"so\n", f"# {own} #\n\n")))
        if "\n" in after and token != "{" and rng.random() < some:
            out.append(rng.choice(("  ", f"# {next(numbers)}", f"   #{next(numbers)}  ")))
    whole = _joined("".join(out), rng, some)
    whole = whole.replace("\n", "\r\n") if rng.random() < 0.2 else whole
    return whole.rstrip("\r\n") if rng.random() < 0.2 else whole


def _gap(rng: Random, numbers: object) -> str:
    number = next(numbers)  # type: ignore[call-overload]
    return rng.choice((" ", "\n", "\n\n        ", f" # {number}\n", f"\n# {number}\n    "))


def _may_end_with_comma(out: list[str]) -> bool:
    """Arguments may end with a comma, the brackets of an expression may not: those that
    open after a name are arguments."""
    level, at = 0, len(out)
    while level >= 0:
        at -= 1
        level += (out[at] == ")") - (out[at] == "(")
    before = out[at - 1] if at > 0 else ""
    return before.isidentifier() and before not in ("not", "and", "or", "when", "require")


def _joined(text: str, rng: Random, some: float) -> str:
    """Some first entries on the line of their `{`, some last ones on the line of their `}`."""
    pairs = re.split(r"(\{\n[ \t]*|\n\})", text)
    for i, pair in enumerate(pairs[1::2]):
        if rng.random() < some and not pairs[2 * i + 2].startswith(("#", "\n", "}")):
            before = pairs[2 * i].rsplit("\n", 1)[-1]
            if pair.startswith("{") or "#" not in before:
                pairs[2 * i + 1] = "{ " if pair.startswith("{") else " }"
    return "".join(pairs)


FORMATTED = {
    "comments around": "# a\n\n\n# b\nplan x # c\n# d\n",
    "entry on the line of the brace": "tensor tp { a colwise  # one\n    b rowwise  # two\n}\n",
    "entry before the closing brace": "tensor tp {\n    a colwise  # one\n    b rowwise } # two\n",
    "comment inside brackets": "tensor tp {\n    a inputs(0: x -> y,  # one\n        1: x -> y)  # two\n}\n",
    "brackets on the line of the brace": "tensor tp { a inputs(0: x -> y,  # one\n        1: x -> y)\n}\n",
    "brackets on the line of the end": "tensor tp {\n    a inputs(0: x -> y,  # one\n        1: x -> y) }\n",
    "broken last entry": "tensor tp {\n    a inputs(0: x -> y,\n        1: x -> y) } # one\n",
    "comment in one line block": "recompute { block } # one\n",
    "comment alone in a block": "recompute {\n    # one\n}\n",
    "comment beside the empty block": "recompute { # one\n} # two\n",
    "comment before one target": "compile {\n    # one\n    block\n}\n",
    "comment beside both braces": "compile { # one\n    block\n} # two\n",
    "quotes in comments": 'require tp == 1 "a # b" # "c\nrequire tp == 2 # d" # e\n',
    "comment in require": "require (tp # one\n  == 1) # two\n",
    "comment between clauses": 'require (\n  # one\n  tp == 1\n  # two\n) "why" # three\n',
    "negated brackets": "require -(5) < tp\n",
    "settings apart": "fsdp dp {\n    override params: bf16\n    reduce: fp32 # one\n    a\n}\n",
    "a choice over lines": "tensor tp {\n    a.{b,\n      c}  colwise # one\n}\n",
    "byte order mark": "\ufeffplan x # one\n",
    "tab in quotes": 'require tp == 1 "a\tb"\n',
    "blank that is no space": 'require tp == 1 "8\u00a0ranks"\n',
    "joined emoji": 'require tp == 1 "\U0001f469\u200d\U0001f4bb"\n',
    "carriage return in a comment": "# one\rtwo\nplan x\n",
    "form feed between lines": "plan x\n\x0c\nmesh tp\n",
    "separators in a comment": "# one\u2028two\x0bthree\x85\nplan x\n",
    "no newline at the end": "plan x # one",
    "nothing": "",
    "long arguments": f"tensor tp {{\n    a inputs({', '.join(f'{i}: x -> y' for i in range(20))}) # 1\n}}\n",
}


@pytest.mark.parametrize("text", FORMATTED.values(), ids=FORMATTED)
def test_formatting_example(text: str) -> None:
    check_formatting(text)


# ---- what only the data form can hold ------------------------------------------------

AWKWARD = {
    "settings of both sorts": {
        "blocks": [
            {
                "kind": "fsdp",
                "axis": "dp",
                "settings": [
                    {"name": "params", "value": "bf16", "override": True},
                    {"name": "reduce", "value": "fp32"},
                ],
            }
        ]
    },
    "module called loss": {
        "blocks": [{"kind": "tensor", "axis": "tp", "rules": [{"pattern": "loss", "style": "colwise"}]}]
    },
    "module called remove": {"blocks": [{"kind": "compile", "targets": [{"pattern": "remove"}]}]},
    "module called override": {"blocks": [{"kind": "compile", "targets": [{"pattern": "override"}]}]},
    "layout let of a name": {"lets": [{"kind": "layout", "name": "a", "layout": "b"}]},
    "pattern let of a word": {"lets": [{"kind": "pattern", "name": "a", "pattern": "replicate"}]},
    "condition without otherwise": {
        "lets": [{"kind": "layout", "name": "a", "layout": "shard(1)", "when": "x"}]
    },
    "otherwise without condition": {
        "lets": [{"kind": "layout", "name": "a", "layout": "shard(1)", "otherwise": "replicate"}]
    },
    "name with a blank": {"name": "two words"},
    "name with a line end": {"name": "x\nmesh tp"},
    "axis that is a keyword": {"requires": [{"condition": "true"}], "mesh": {"axes": [{"name": "not"}]}},
    "axis with a control": {"mesh": {"axes": [{"name": "\x1b[31mtp"}]}},
    "mesh without axes": {"mesh": {"axes": []}},
    "negative axis": {"mesh": {"axes": [{"name": "tp", "size": -1}]}},
    "huge option": {"options": [{"name": "a", "value": 10**15}]},
    "unit of nothing": {"blocks": [{"kind": "fsdp", "axis": "dp", "units": [{"patterns": []}]}]},
    "reshard true": {
        "blocks": [{"kind": "fsdp", "axis": "dp", "units": [{"patterns": ["a"], "reshard": True}]}]
    },
    "setting of two words": {
        "blocks": [{"kind": "fsdp", "axis": "dp", "settings": [{"name": "params", "value": "a b"}]}]
    },
    "setting of true in quotes": {
        "blocks": [{"kind": "fsdp", "axis": "dp", "settings": [{"name": "params", "value": "true"}]}]
    },
    "saving without a mode": {
        "blocks": [{"kind": "recompute", "regions": [{"pattern": "a", "save": ["matmul"]}]}]
    },
    "rule without a style but with layouts": {
        "blocks": [{"kind": "tensor", "axis": "tp", "rules": [{"pattern": "a", "output": "replicate"}]}]
    },
    "rule that says nothing": {"blocks": [{"kind": "tensor", "axis": "tp", "rules": [{"pattern": "a"}]}]},
    "style of a facet": {
        "blocks": [{"kind": "tensor", "axis": "tp", "rules": [{"pattern": "a", "style": "inputs"}]}]
    },
    "negative position": {
        "blocks": [
            {
                "kind": "tensor",
                "axis": "tp",
                "rules": [
                    {"pattern": "a", "inputs": [{"key": -1, "before": "replicate", "after": "shard(1)"}]}
                ],
            }
        ]
    },
    "keyword with a blank": {
        "blocks": [
            {
                "kind": "tensor",
                "axis": "tp",
                "rules": [
                    {"pattern": "a", "inputs": [{"key": "a b", "before": "replicate", "after": "shard(1)"}]}
                ],
            }
        ]
    },
    "why with a line end": {"requires": [{"condition": "tp == 1", "why": "a\nb"}]},
}


@pytest.mark.parametrize("data", AWKWARD.values(), ids=AWKWARD)
def test_data_says_what_text_can_say(data: dict[str, object]) -> None:
    """Data that no text says is refused; the text of the rest is the same plan."""
    try:
        plan = planc.from_data(data)
    except planc.PlanError:
        return
    if unparse_round_trip(plan) is None:
        assert planc.check(data).is_refuted, "what no text can say is refuted by a law"
        return
    assert_same_plan(read(unparse(plan)).plan, plan)
