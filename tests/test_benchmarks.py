"""The benchmark for GPUs, on two processes without one: all sides train the same, planc and torch by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

ROOT = Path(__file__).parent.parent


def test_planc_and_torch_by_hand_train_the_same(tmp_path: Path) -> None:
    """Rows come in the file that is asked for; nothing is said of how fast they are."""
    found = tmp_path / "rows.json"
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            "benchmarks/gpu.py", "--small", "--eager", "--only", "tp,fsdp", "--rivals", "planc,torch",
            "--rows", "1", "--rounds", "1", "--steps", "2", "--json", str(found),
        ],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(found.read_text(encoding="utf-8"))["rows"]
    assert [(row["way"], row["rival"]) for row in rows] == [
        ("tp 2", "planc"), ("tp 2", "torch"), ("fsdp 2", "planc"), ("fsdp 2", "torch"),
    ]  # fmt: skip
    for row in rows:
        assert row["against"] == "planc"
        assert row["apart"] < 1e-5
        # Of the same text: three steps warm up, two count, and four batches are taken in turn.
        assert row["last_loss"] < row["first_loss"]
