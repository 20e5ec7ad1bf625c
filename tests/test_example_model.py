"""The example: a model of a few lines of PyTorch, the graph of it, and its plan."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from planc.cli import main
from planc.graph.graph_reader import read_graph_file

EXAMPLES = Path(__file__).parent.parent / "examples"
GRAPH = EXAMPLES / "model.graph.json.gz"
WRONG = {
    "the fused projection is cut plainly": (
        ("packed_colwise(3)   stream ->", "colwise   stream ->"),
        {"L704": "block.attention.qkv"},
    ),
    "attention is not gathered": (
        ("packed_colwise(3)   stream ->", "packed_colwise(3)"),
        {"L701": "block.attention.qkv"},
    ),
    "places are whole, words are split": (
        ("    positions             outputs(0: replicate -> shard(0))   when sequence_parallel\n", ""),
        {"L711": "words"},
    ),
    "norms without a rule": (
        ("    block.norm_{1,2}      sequence            when sequence_parallel\n", ""),
        {"L706": "words"},
    ),
    "the head is whole, the table tied to it is split": (
        ("    head                  colwise             stream -> shard(-1)\n", ""),
        {"F605": "words"},
    ),
    "the sum of the MLP is left for later": (
        ("block.mlp.down        rowwise             -> stream", "block.mlp.down  rowwise -> partial"),
        {"L702": "block.mlp.down"},
    ),
}
"""What is replaced in the plan, and which code at which pattern refutes what comes of it."""


def check(plan: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, Any]:
    main(["check", "--format", "json", *flags, str(plan)])
    printed = capsys.readouterr()
    assert printed.err == "", printed.err
    return dict(json.loads(printed.out)["results"][0])


def test_the_graph_is_that_of_the_model() -> None:
    pytest.importorskip("torch")
    from planc.torch.capture.from_reference import capture_reference

    captured, kept = capture_reference(f"{EXAMPLES / 'model.py'}:small"), read_graph_file(str(GRAPH))
    assert (captured.modules, captured.functions, captured.ties) == (kept.modules, kept.functions, kept.ties)


@pytest.mark.parametrize(("tp", "split"), list(product(["2", "4", "8"], ["true", "false"])))
def test_the_plan_is_proved(tp: str, split: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--dp", "2", "--tp", tp, "--set", f"sequence_parallel={split}")
    result = check(EXAMPLES / "model.plan", capsys, *flags)
    assert (result["verdict"], result["diagnostics"]) == ("proved", [])


def test_more_ranks_than_heads_are_refuted(capsys: pytest.CaptureFixture[str]) -> None:
    result = check(EXAMPLES / "model.plan", capsys, "--dp", "2", "--tp", "16")
    assert {d["code"] for d in result["diagnostics"]} == {"L703"}


@pytest.mark.parametrize("title", WRONG)
def test_a_wrong_plan_is_refuted(title: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (before, after), expected = WRONG[title]
    text = (EXAMPLES / "model.plan").read_text("utf-8")
    assert text.count(before) == 1
    text = text.replace(before, after)
    (tmp_path / "model.plan").write_text(text, "utf-8")
    result = check(tmp_path / "model.plan", capsys, "--model", str(GRAPH), "--dp", "2", "--tp", "2")
    found = {
        d["code"]: text.splitlines()[d["line"] - 1].split()[0]
        for d in result["diagnostics"]
        if d["severity"] == "error"
    }
    assert found == expected
    assert result["verdict"] == "refuted"
