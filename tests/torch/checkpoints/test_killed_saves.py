"""Saves that are killed: the last good checkpoint is there, each time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
KILLS = 25


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Two ranks, a folder and then a file, by turns in the background and not."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.torch.checkpoints.killed_saves", str(tmp_path), str(KILLS), "0"],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    for found in json.loads(done.stdout).values():
        assert not found["wrong"]
        assert found["saves"] >= KILLS
        assert found["cut"], "none was killed in the middle of a save"
        assert not found["after"], "something is left when the checkpoint is removed"
