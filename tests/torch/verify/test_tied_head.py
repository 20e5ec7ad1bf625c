"""A gradient that is summed at the output of a module, by numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from tests.proof.regressions.tied_head import plan
from tests.rank_pool import ROOT
from tests.torch.verify.verify_process import verify

MODEL = f"{ROOT / 'tests' / 'proof' / 'regressions' / 'tied_head.py'}:tied_head"


@pytest.mark.parametrize("sums", [True, False])
def test_a_tied_head(tmp_path: Path, sums: bool) -> None:
    lines = "".join(f"    {line}\n" for line in plan(sums=sums))
    (tmp_path / "my.plan").write_text(f"mesh tp\ntensor tp {{\n{lines}}}\n", encoding="utf-8")
    result = verify(tmp_path, "my.plan", "--format", "json", "--model", MODEL, "--tp", "2")
    wrong = {row["name"] for row in result.data["rows"] if not row["ok"]}
    assert (result.data["verdict"] == "right") == sums
    assert sums or {"norm.weight", "up.weight", "words.weight"} <= wrong
