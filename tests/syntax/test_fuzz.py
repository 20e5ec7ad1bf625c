"""Anything at all as a plan: nothing raises, nothing hangs, every fault has its place.

Each case is made from one seed, which a failure names. By default there are few of them;
`PLANC_FUZZ=100000` runs so many, and `PLANC_FUZZ_SEED` says at which seed to begin.
"""

from __future__ import annotations

import io
import json
import os
import re
from random import Random
from typing import Any

import pytest
from rich.console import Console

from planc.check_result import Result
from planc.compile import check_document
from planc.ir.document import Document
from planc.ir.resolved import Settings
from planc.report import github, json_report, sarif, summary
from planc.report.plan_tree import print_plan_tree
from planc.syntax.data.serialize import plan_to_json, plan_to_python, plan_to_yaml, to_data
from planc.syntax.formatter import format_document
from planc.syntax.read_file import read_bytes
from planc.syntax.unparse import unparse, unparse_round_trip
from tests.syntax.strategies import pool
from tests.syntax.test_roundtrip import comments, decorated

CASES = int(os.environ.get("PLANC_FUZZ", "400"))
FIRST = int(os.environ.get("PLANC_FUZZ_SEED", "0"))


# ---- making a case ---------------------------------------------------------------

_TOKEN = re.compile(r"\s+|\w+|.")
_VOCABULARY = (
    *"(){}[]:,+-*/%=<>!?.#\"'\\|&@$~`^;\n\t\r ",
    *"\0\x07\x0b\x0c\x1b\x7f\x85\xa0\ufeff\u200d\u2028\u202e日é\U0001f600",
    "->", "==", "//", "**", "!{", "..", '"x"', "# c\n", "\r\n", "\x1b[31m", "- ", ": ", "---\n", "&a ", "*a",
    "!!int ", "!!set ", "<<", "null", "2020-01-01", "1e999", ".nan", "0x1F", "1_0", "{}", "[]", "()",
    "999999999999", "9" * 30, "9" * 5000, "-1", "0", "1", "true", "false", "plan", "extends", "model", "mesh",
    "option", "let", "require", "override", "remove", "loss", "tensor", "fsdp", "recompute", "compile",
    "when", "else", "not", "and", "or", "keep", "reshard", "replicate", "partial", "shard(1)", "colwise",
    "inputs(0: x -> y)",
    "params(w: shard(0))", "attributes(a: b)", "full", "save(matmul)", "root", "auto",
    "extends llama\n", 'extends "x"\n', "tensor tp {\n", "\n}\n", "a.{b,c}", "{0..9}", "{0..99999}",
    "a" * 300,
)  # fmt: skip


def mutated(text: str, rng: Random) -> str:
    """A text with a few tokens, characters or lines deleted, added, doubled or moved."""
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        split = rng.choice((_TOKEN.findall, list, lambda t: t.splitlines(keepends=True)))
        pieces: list[str] = split(text)
        at = rng.randrange(len(pieces) + 1)
        match rng.randrange(9):
            case 0:
                del pieces[at : at + rng.choice((1, 1, 2, 5))]
            case 1 | 2:
                pieces.insert(at, rng.choice(_VOCABULARY))
            case 3:
                pieces[at:at] = pieces[at : at + rng.choice((1, 2, 10))] * rng.choice((1, 3))
            case 4 if len(pieces) > 1:
                a, b = rng.randrange(len(pieces)), rng.randrange(len(pieces))
                pieces[a], pieces[b] = pieces[b], pieces[a]
            case 5:
                pieces = pieces[:at] if rng.random() < 0.5 else pieces[at:]
            case 6 if pieces:
                pieces[at - 1] = rng.choice(_VOCABULARY)
            case 7:
                pieces.insert(at, rng.choice("([{-!,") * rng.choice((2, 10, 300)))
            case _:
                pieces.insert(at, "".join(rng.choices(_VOCABULARY, k=rng.choice((2, 5)))))
        text = "".join(pieces)
    return text


_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 10**13, 10**30, 1.5, "", " ", "a b", "a\nb", "\x1b[31m", "\x00",
    "\U0001f600",
    "not", "true", "loss", "inputs", "replicate", "shard(1)", "shard(", "a.**.b", "{", "x -> y", [], {}, [[]],
    {"kind": "tensor"}, ["a"], "a" * 2000, "(" * 500, "# c", '"', "- 1", "auto", "llama",
)  # fmt: skip


def twisted(value: Any, rng: Random) -> Any:
    """Data with one value somewhere in it replaced, dropped or doubled."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key} | {rng.choice(("x", key + "s")): 1}
        return {**value, key: twisted(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        return [*value[:at], twisted(value[at], rng), *value[at + rng.choice((0, 1, 1)) :]]
    return rng.choice(_VALUES)


def case(seed: int) -> tuple[bytes, str]:
    """The bytes of a case, and the form that they are read in."""
    rng = Random(seed)
    plan = rng.choice(pool())
    form = rng.choice(("text", "text", "text", "json", "yaml"))
    if rng.random() < 0.03:
        return rng.randbytes(rng.choice((1, 10, 200))), form
    if form == "text":
        text = unparse(plan)
        if rng.random() < 0.5:
            text = decorated(text, rng)
        if rng.random() < 0.1:
            other = unparse(rng.choice(pool()))
            text = text[: rng.randrange(len(text) + 1)] + other[rng.randrange(len(other) + 1) :]
    else:
        tree = twisted(to_data(plan), rng) if rng.random() < 0.6 else to_data(plan)
        text = json.dumps(tree, indent=rng.choice((None, 2))) if form == "json" else _yaml(tree)
        if rng.random() < 0.4:
            return text.encode(), form
    if rng.random() < 0.9:
        text = mutated(text, rng)
    encoded = text.encode("utf-8", "replace")
    if rng.random() < 0.02:
        at = rng.randrange(len(encoded) + 1)
        encoded = encoded[:at] + rng.randbytes(2) + encoded[at:]
    return encoded, form


def _yaml(tree: Any) -> str:
    import yaml

    return str(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True))


def settings_of(document: Document, rng: Random) -> Settings:
    """Sizes for some axes of the plan, and values for some of its options."""
    axes = document.plan.mesh.axes if document.plan.mesh else ()
    sizes = {axis.name: rng.choice((1, 2, 8)) for axis in axes if rng.random() < 0.5}
    given_ = {o.name: o.value for o in document.plan.options if rng.random() < 0.3}
    return Settings(sizes, rng.choice((None, None, 8, 64)), rng.choice((None, 8)), given_)


# ---- what must hold ----------------------------------------------------------------


def check_any_source(encoded: bytes, form: str, rng: Random) -> None:
    """Read, check, report and format; assert what holds of any source."""
    document = read_bytes(encoded, "x.plan", form)
    result = check_document(document, settings_of(document, rng))
    _places(document, result)
    _reports(result)
    if document.diagnostics:
        return
    if form == "text":
        _formatting(document)
    elif unparse_round_trip(document.plan) is not None:
        _conversion(document)
    else:
        assert result.is_refuted, "a plan that no text can say is refuted by a law"


def _places(document: Document, result: Result) -> None:
    for diagnostic in (*document.diagnostics, *result.diagnostics):
        assert diagnostic.message
        spans = [label.span for label in (diagnostic.label, *diagnostic.secondary)]
        spans += [edit.span for edit in diagnostic.fix.edits] if diagnostic.fix else []
        sources = [diagnostic.label.source, *(label.source for label in diagnostic.secondary)]
        longest = max(len(source.text) for source in sources)
        for span in spans:
            assert 0 <= span.start <= span.end <= longest, (diagnostic.law.code, diagnostic.message, span)


_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def _reports(result: Result) -> None:
    text = summary.render_results([result])
    leaked = _CONTROL.search(text)
    assert leaked is None, f"the report holds {leaked[0]!r}"
    json.loads(json_report.results_to_json([result]))
    json.loads(sarif.to_sarif([result]))
    lines = github.to_github([result])
    assert lines.count("\n") == len(result.diagnostics)
    shown = io.StringIO()
    print_plan_tree(result.resolved, Console(file=shown, width=100, highlight=False))
    leaked = _CONTROL.search(shown.getvalue())
    assert leaked is None, f"the drawing holds {leaked[0]!r}"


def _formatting(document: Document) -> None:
    formatted = format_document(document)
    reread = read_bytes(formatted.encode(), "x.plan")
    assert not reread.diagnostics, f"formatting breaks the plan: {reread.diagnostics[0].message}"
    assert reread.plan == document.plan, "formatting changes the plan"
    assert comments(formatted) == comments(document.source.text), "formatting loses a comment"
    assert format_document(reread) == formatted, "formatting twice differs"


def _conversion(document: Document) -> None:
    for form, writer in {"json": plan_to_json, "yaml": plan_to_yaml, "text": unparse}.items():
        reread = read_bytes(writer(document.plan).encode(), "x.plan", form)
        assert not reread.diagnostics, f"data that is no {form}: {reread.diagnostics[0].message}"
        assert reread.plan == document.plan, f"another plan as {form}"
    space: dict[str, object] = {}
    exec(plan_to_python(document.plan), space)
    assert space["plan"] == document.plan, "another plan as python"


def run_case(seed: int) -> None:
    encoded, form = case(seed)
    check_any_source(encoded, form, Random(seed))


def test_nothing_raises() -> None:
    for seed in range(FIRST, FIRST + CASES):
        try:
            run_case(seed)
        except Exception as bad:  # noqa: BLE001
            encoded, form = case(seed)
            pytest.fail(f"seed {seed}, form {form}: {type(bad).__name__}: {bad}\n{encoded[:2000]!r}")


# ---- every broken line --------------------------------------------------------------

# None of these is an entry of any block: there, `option x` is a module and a style.
BROKEN = (
    "$ what", "let 5 = = x", "require == 3", '"text"', "mesh ,", "a b c d ] e", "require tp +",
    'require tp == 1 "open', "extends 5", "= = =", "require tp < 2 < 3",
    "model.{a,b colwise", "require (tp == 1", "\u65e5\u672c", "+ a",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(120))
def test_five_broken_lines(seed: int) -> None:
    rng = Random(seed)
    lines = unparse(rng.choice(pool())).split("\n")[:-1]
    # Not inside brackets: there a line is no line of its own.
    whole = [i for i in range(len(lines) + 1) if _balanced("\n".join(lines[:i]))]
    places = {place: rng.choice(BROKEN) for place in rng.sample(whole, min(5, len(whole)))}
    text: list[str] = []
    broken: set[int] = set()
    for i, line in enumerate([*lines, None]):
        if i in places:
            text.append(places[i])
            broken.add(len(text))
        text += [] if line is None else [line]
    document = read_bytes("\n".join(text).encode(), "x.plan")
    reported = {document.source.position(f.label.span.start).line for f in document.diagnostics}
    missed = {number: text[number - 1] for number in broken - reported}
    assert not missed, f"{missed}\n" + "\n".join(f"{i + 1:3} {line}" for i, line in enumerate(text))


def _balanced(text: str) -> bool:
    plain = re.sub(r'"(?:[^"\\\n]|\\.)*"', "", text)
    return plain.count("(") == plain.count(")")
