"""The tables of `docs/language.md` say what the code says."""

from __future__ import annotations

import json
import re

import pytest

import planc
from planc.bind.pattern_matcher import PatternMatcher
from planc.checks.declared_twice import RESERVED_WORDS
from planc.checks.two_rules import MAX_SPELLED_NAMES
from planc.compile import check_document
from planc.ir.block_kinds import BLOCK_KINDS
from planc.ir.blocks import RECOMPUTE_MODES, SAVEABLE_OPS
from planc.ir.expr import format_value
from planc.ir.layout import MAX_DIMS
from planc.ir.pattern import MAX_ALTERNATIVES, MAX_SEGMENTS, Pattern
from planc.ir.source import Source
from planc.ir.styles import LOSSES, STYLES, Style
from planc.report.json_report import results_to_json
from planc.resolve.extends import MAX_EXTENDS
from planc.resolve.scope import MAX_LET_CHAIN as MAX_LETS
from planc.syntax.data.yaml_tree import MAX_DEPTH
from planc.syntax.read_file import MAX_BYTES, read_source
from planc.syntax.terminals import statement_keywords
from planc.syntax.tree_reader import MAX_DIGITS, MAX_EXPR_DEPTH, MAX_EXPR_TERMS
from tests.test_docs import LANGUAGE, PRELUDE

# ---- the tables of the language ----------------------------------------------


def table(*head: str) -> list[list[str]]:
    """The rows of the table of docs/language.md whose head begins with these cells."""
    found: list[list[list[str]]] = []
    rows: list[list[str]] | None = None
    for line in LANGUAGE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            rows = None
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if rows is None:
            rows = []
            if tuple(cells[: len(head)]) == head:
                found.append(rows)
        elif not re.fullmatch(r"[\s|:-]+", line):
            rows.append(cells)
    assert len(found) == 1, f"{len(found)} tables begin with {head}"
    return found[0]


def code(text: object) -> str:
    return f"`{text}`"


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]*)`", cell)


def style_row(style: Style) -> list[str]:
    """The row of a style as the page should have it."""
    parts: dict[str, list[str]] = {}
    for row in style.classes:
        module = "all" if row.class_name == "*" else row.class_name
        for param in row.params:
            what = code(param.layout) if param.name == "*" else f"{param.name} {code(param.layout)}"
            parts.setdefault(module, []).append(what)
    weights = "; ".join(f"{module}: {', '.join(documented)}" for module, documented in parts.items())
    sides = ["as it comes" if side is None else code(side) for side in (style.input, style.output)]
    return [code(style.name), weights, *sides, "its parts" if style.takes_parts else "nothing"]


def test_styles() -> None:
    """The table of styles is the table of planc/ir/styles.py, row for row."""
    assert table("style", "parameters") == [style_row(style) for style in STYLES.values()]


def test_each_style_is_described() -> None:
    text = LANGUAGE.read_text(encoding="utf-8")
    assert [name for name in STYLES if f"\n- `{name}`: " not in text] == []


@pytest.mark.parametrize("kind", [name for name, kind in BLOCK_KINDS.items() if kind.settings])
def test_settings(kind: str) -> None:
    rows = {row[0]: row[1] for row in table(f"setting of `{kind}`", "values")}
    assert rows == {
        code(name): "any name" if values is None else ", ".join(code(_shown(value)) for value in values)
        for name, values in BLOCK_KINDS[kind].settings.items()
    }


def _shown(value: str | bool) -> str:
    return value if isinstance(value, str) else format_value(value)


def test_words_of_blocks() -> None:
    """The losses, the modes of recompute, and what `save` keeps."""
    assert {row[0]: row[1] for row in table("loss", "means")} == {
        code(n): row.summary for n, row in LOSSES.items()
    }
    assert {names_in(row[0])[0].split("(")[0] for row in table("mode", "means")} == set(RECOMPUTE_MODES)
    assert {row[0]: row[1] for row in table("kind", "means")} == {code(n): t for n, t in SAVEABLE_OPS.items()}


def test_limits() -> None:
    limits = {
        "size of a plan": f"{MAX_BYTES >> 20} MiB",
        "names that the braces of one pattern spell out": f"{MAX_ALTERNATIVES:,}",
        "dotted names in one pattern": f"{MAX_SEGMENTS}",
        "names and numbers of an expression": f"{MAX_EXPR_TERMS}",
        "digits of a number, in text": f"{MAX_DIGITS}",
        "plans in a chain of `extends`": f"{MAX_EXTENDS}",
        "lets in a chain that refer to each other": f"{MAX_LETS}",
        "levels of nesting in JSON and YAML": f"{MAX_DEPTH}",
        "names that the patterns of a block spell out, for the check of two rules": f"{MAX_SPELLED_NAMES:,}",
        "dims of a tensor": f"{MAX_DIMS}",
    }
    assert {row[0]: row[1] for row in table("limit")} == limits
    assert f"between -{MAX_DIMS} and {MAX_DIMS - 1}" in LANGUAGE.read_text(encoding="utf-8")


def test_terms_are_counted_as_the_page_says() -> None:
    """Names and numbers count, operators and brackets do not, but for their depth."""

    def faults(condition: str) -> int:
        return len(read_source(Source("x.plan", f"require {condition}\n")).diagnostics)

    for term in ("1", "a"):
        assert faults(" + ".join([term] * (MAX_EXPR_TERMS - 1)) + " > 0") == 0
        assert faults(" + ".join([term] * MAX_EXPR_TERMS) + " > 0") == 1
    assert faults("not " * (MAX_EXPR_DEPTH - 1) + "a") == 0
    assert faults("not " * (MAX_EXPR_DEPTH + 1) + "a") == 1


def test_json() -> None:
    """The keys of the report are those of the tables, in their order."""
    document = read_source(Source("x.plan", "plan x\nmesh tp\ntensor tp {\n    lm_head   colwis\n}\n"))
    (faulty,) = json.loads(results_to_json([check_document(document)]))["results"]
    (proved,) = json.loads(results_to_json([planc.check("llama", dp=2, tp=8)]))["results"]
    (fault,), one = faulty["diagnostics"], proved["collectives"][0]
    for what, got in (("result", faulty), ("diagnostic", fault), ("collective", one)):
        assert [name for row in table(f"key of a {what}") for name in names_in(row[0])] == list(got)
    place = [name for row in table("key of a diagnostic") for name in names_in(row[0])]
    assert {"label", "at", *place[place.index("path") : place.index("at")]} == set(one["rule"])
    assert set(fault["fix"]) == {"message", "edits"}
    assert proved["verdict"] in {names_in(row[0])[0] for row in table("verdict")}


def test_statements() -> None:
    """The table of statements has all of them; `override` stands before others."""
    words = {names_in(name)[0].split()[0] for row in table("statement", "says") for name in [row[0]]}
    blocks = {word for row in table("statement", "says") for word in names_in(row[0]) if " " not in word}
    assert words | blocks == set(statement_keywords()) - {"override"}


def test_reserved_words() -> None:
    text = re.sub(r"\s+", " ", LANGUAGE.read_text(encoding="utf-8"))
    documented = re.search(r"These words cannot be the name of [^:]*: ([^.]*)\.", text)
    assert documented is not None
    assert set(names_in(documented[1])) == RESERVED_WORDS
    for word in RESERVED_WORDS:
        for line in (f"mesh {word}", f"option {word} = true", f"let {word} = a.b"):
            assert check_document(read_source(Source("x.plan", f"{line}\n"))).is_refuted, line


def test_layouts() -> None:
    documented = [names_in(row[0])[0].replace("DIM", "1") for row in table("layout", "means")]
    assert documented == ["replicate", "shard(1)", "partial"]
    assert [str(planc.Layout.parse(text)) for text in documented] == documented


def test_patterns() -> None:
    """What the page says of a pattern is what it matches."""
    rows = table("pattern", "matches")
    assert len(rows) > 8
    for row in rows:
        pattern = Pattern.parse(names_in(row[0])[0])
        matcher = PatternMatcher()
        for names in pattern.alternatives():
            matcher.add(names, True)
        found = {name: any(matcher.match(tuple(name.split(".")))) for name in names_in(row[1] + row[2])}
        assert found == {name: name in names_in(row[1]) for name in found}, pattern


def test_prelude() -> None:
    """The page shows what its few lines stand beside."""
    assert PRELUDE in LANGUAGE.read_text(encoding="utf-8")
