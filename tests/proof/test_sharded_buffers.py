"""`buffers(...)`: what the proof says, what a split model computes, and the forms of the clause."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import planc
from planc.compile import check_document
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.syntax.data.serialize import plan_to_json, plan_to_yaml
from planc.syntax.formatter import format_document
from planc.syntax.read_file import read_source
from planc.torch.capture.trace import CaptureTarget, trace
from tests.proof.sharded_buffers import model, plan
from tests.rank_pool import ROOT
from tests.torch.verify.verify_process import verify

HEADS = "buffers(slopes: shard(1))"


@pytest.mark.parametrize(
    ("kind", "buffers", "tp", "verdict", "codes"),
    [
        ("", HEADS, 2, "proved", set()),
        ("", "buffers(slopes: shard(-3))", 4, "proved", set()),
        ("checkpointed", HEADS, 2, "proved", set()),
        ("outside", HEADS, 2, "proved", set()),
        ("", "", 2, "refuted", {"L711"}),
        ("", "buffers(slopes: replicate)", 2, "refuted", {"L711"}),
        ("written", HEADS, 2, "unproved", {"L713"}),
        ("below", HEADS, 2, "unproved", {"L713"}),
        ("", HEADS, 3, "refuted", {"F604"}),
        ("", "buffers(slopes: shard(4))", 2, "refuted", {"F607"}),
        ("", "buffers(slope: shard(1))", 2, "refuted", {"F607"}),
        ("", "buffers(slopes: partial)", 2, "refuted", {"F607"}),
        ("", "params(slopes: shard(1))", 2, "refuted", {"F607"}),
        ("", f"{HEADS} buffers(count: replicate)", 2, "refuted", {"R304"}),
        ("", "buffers(slopes: shard(1), slopes: replicate)", 2, "refuted", {"R304"}),
    ],
)
def test_verdicts(kind: str, buffers: str, tp: int, verdict: str, codes: set[str]) -> None:
    module, x = model(kind)
    graph = trace(CaptureTarget("case", module, (x,), {}, {}, {"torch": "2"}))
    result = check_document(read_source(Source("x.plan", plan(buffers))), Settings({"tp": tp}), graph)
    found = {found.law.code for found in result.diagnostics}
    assert codes <= found, result.diagnostics
    assert result.verdict == verdict
    assert codes or not found


@pytest.mark.parametrize("name", ["plain", "checkpointed", "read_by_parent"])
def test_a_split_model_computes_what_the_whole_one_does(name: str, tmp_path: Path) -> None:
    (tmp_path / "my.plan").write_text(plan(HEADS), encoding="utf-8")
    reference = f"{ROOT / 'tests' / 'proof' / 'sharded_buffers.py'}:{name}"
    result = verify(tmp_path, "my.plan", "--format", "json", "--model", reference, "--tp", "2")
    assert result.data["verdict"] == "right", result.out


def test_the_forms_of_the_clause() -> None:
    parsed = planc.parse(plan(HEADS))
    written = planc.to_text(parsed)
    assert f"inputs(0: replicate -> replicate) {HEADS}" in written
    assert planc.parse(written) == parsed
    assert planc.from_data(planc.to_data(parsed)) == parsed
    assert format_document(read_source(Source("x.plan", written))) == written
    for form, text in (("json", plan_to_json(parsed)), ("yaml", plan_to_yaml(parsed))):
        assert read_source(Source(f"x.{form}", text, form)).plan == parsed
