"""`save_pretrained` of a split model: transformers reads the unsplit model from it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("transformers")

from tests.rank_pool import run_on_ranks


@pytest.mark.parametrize(("name", "dp", "tp"), [("llama", 1, 2), ("llama", 2, 1), ("gpt2", 1, 2)])
def test_one_file(tmp_path: Path, name: str, dp: int, tp: int) -> None:
    for found in run_on_ranks(
        2, "torch.checkpoints.pretrained:saved", folder=str(tmp_path), name=name, dp=dp, tp=tp
    ):
        assert found == {"off": 0.0, "files": ["model.safetensors"]}


def test_several_files(tmp_path: Path) -> None:
    found = run_on_ranks(
        2,
        "torch.checkpoints.pretrained:saved",
        folder=str(tmp_path),
        name="llama",
        dp=1,
        tp=2,
        max_shard_size="60KB",
    )[1]
    assert found["off"] == 0.0
    assert len(found["files"]) > 2
    assert found["files"][-1] == "model.safetensors.index.json"
