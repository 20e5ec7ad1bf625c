"""Right plans from which a line is taken: what `planc check --fix` writes makes them proved again.

Each plan of `tests/fixes/plans` is for the captured model of its name.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from planc.check_result import Result
from planc.cli import main
from planc.commands.apply_fixes import apply_fixes
from planc.compile import check_document
from planc.graph.graph_reader import graph_from_bytes
from planc.ir.document import Document
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.proof import diagnose, sentences
from planc.syntax.read_file import read_source

PLANS = Path(__file__).parent / "plans"
CAPTURED = Path(__file__).parents[1] / "graph" / "captured"
NAMES = sorted(path.stem for path in PLANS.glob("*.plan"))
UNFIXABLE = {
    ("fused", "blocks.*.attn.qkv packed_colwise(3)"): "L701",  # how many parts there are, no fault says
    ("gpt2", "block.attn.c_attn packed_colwise(3)"): "L707",
    ("lm", "embed rowwise -> stream"): "L701",  # any of several could split the sequence
    ("qwen3", "model.layers.0 inputs(0: replicate -> stream)"): "L701",
}
"""Lines that no fix brings back, and a law that is broken without them."""
REDUNDANT = {
    ("fused", "embed rowwise"),
    ("llama", "model.embed_tokens rowwise"),
    ("qwen3", "model.embed_tokens rowwise"),
}
"""Lines without which a plan is as right: a table that is whole."""


def collapse_columns(text: str) -> str:
    """A text without its columns."""
    return re.sub(r"(?<=\S) +", " ", text)


def check_and_fix(name: str, text: str) -> tuple[Result, Result]:
    """What checking a plan gives, and what it gives after its fixes."""
    graph = graph_from_bytes((CAPTURED / f"{name}.graph.json.gz").read_bytes())
    settings = Settings({"tp": 2})

    def recheck(document: Document) -> Result:
        return check_document(document, settings, graph)

    first = recheck(read_source(Source("plan.plan", text, "text", ".")))
    return first, apply_fixes(first, recheck)


def rule_lines(name: str) -> list[tuple[str, str, int]]:
    text = (PLANS / f"{name}.plan").read_text("utf-8")
    lines = text.splitlines()
    return [
        (name, collapse_columns(line.strip()), i) for i, line in enumerate(lines) if line.startswith("    ")
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_is_right(name: str) -> None:
    first, after = check_and_fix(name, (PLANS / f"{name}.plan").read_text("utf-8"))
    assert (first.verdict, first.diagnostics) == ("proved", ())
    assert after is first


@pytest.mark.parametrize(
    ("name", "line", "number"),
    [each for name in NAMES for each in rule_lines(name)],
    ids=str,
)
def test_a_line_that_is_missing_is_written_again(name: str, line: str, number: int) -> None:
    lines = (PLANS / f"{name}.plan").read_text("utf-8").splitlines()
    first, after = check_and_fix(name, "\n".join([*lines[:number], *lines[number + 1 :]]) + "\n")
    if (name, line) in REDUNDANT:
        assert first.verdict == "proved"
    elif (name, line) in UNFIXABLE:
        assert first.verdict == "refuted"
        assert UNFIXABLE[name, line] in {d.law.code for d in first.diagnostics}
        assert after is first
    else:
        assert first.diagnostics
        assert after.verdict == "proved"


BROKEN = [
    ("lm", "blocks.*.attn.o rowwise -> stream\n    ", ""),
    ("lm", "head colwise stream", "head colwise replicate"),
    ("lm", "blocks.*.attn.o rowwise -> stream", "blocks.*.attn.o rowwise -> partial"),
    ("llama", "lm_head colwise -> shard(-1)", "lm_head colwise -> replicate"),
    ("fused", "packed_colwise(3)", "colwise"),
    ("qwen3", "block.self_attn.{q,k}_norm replicate\n    ", ""),
    ("whisper", " attributes(num_heads: 4 // tp)", ""),
    ("bert", "inputs(0: replicate -> replicate)", "inputs(0: shard(1) -> replicate)"),
]
"""A plan, a piece of its text, and what a broken plan has there."""


@pytest.mark.parametrize(("name", "wrong", "right"), BROKEN)
def test_fix_writes_the_plan(
    name: str, wrong: str, right: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = collapse_columns((PLANS / f"{name}.plan").read_text("utf-8"))
    assert wrong in text
    plan = tmp_path / "plan.plan"
    plan.write_text(text.replace(wrong, right), "utf-8")
    flags = ["check", str(plan), "--tp", "2", "--model", str(CAPTURED / f"{name}.graph.json.gz")]
    assert main(flags) == 1
    main([*flags, "--fix"])
    assert main(flags) == 0, capsys.readouterr().out


@pytest.mark.parametrize(("name", "wrong", "right"), BROKEN)
def test_fixes_read_no_sentence(name: str, wrong: str, right: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """planc writes the same plan when every sentence of the proof says something else."""
    text = collapse_columns((PLANS / f"{name}.plan").read_text("utf-8")).replace(wrong, right)
    _, after = check_and_fix(name, text)
    for table in ("_SENTENCES", "_PARTIAL", "_REDUNDANCIES"):
        other = dict.fromkeys(getattr(sentences, table), ("something", "something else"))
        monkeypatch.setattr(sentences, table, other)
    for table in ("HEADLINES", "REDUNDANCY_HEADLINES"):
        headlines = {key: (code, "a headline") for key, (code, _) in getattr(sentences, table).items()}
        monkeypatch.setattr(diagnose, table, headlines)
    silent, silent_after = check_and_fix(name, text)
    assert {d.message for d in silent.diagnostics} == {"a headline"}
    assert silent_after.document.source.text == after.document.source.text
