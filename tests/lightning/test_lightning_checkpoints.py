"""Checkpoints through the Trainer: saved on one mesh, resumed on others, read without planc."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning")


import torch

from tests.rank_pool import run_on_ranks

NEAR = 1e-4
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("family", "sharded", "background"),
    [("llama", True, False), ("llama", False, True), ("phi3", True, True), ("phi3", False, False)],
)
def test_it_goes_on_on_other_meshes(family: str, sharded: bool, background: bool, tmp_path: Path) -> None:
    given: dict[str, Any] = {"family": family, "folder": str(tmp_path)}
    saved = run_on_ranks(
        4,
        "lightning.checkpoints:save_checkpoints",
        dp=2,
        tp=2,
        sharded=sharded,
        background=background,
        **given,
    )
    assert all(found["losses"] < NEAR for found in saved)
    assert saved[0]["kept"] == ["last.ckpt", "step=2.ckpt", "step=4.ckpt"]
    assert saved[0]["link"]
    path = saved[0]["path"]
    assert Path(path).is_dir() == sharded
    for dp, tp in ((4, 1), (1, 4), (1, 1)):
        for found in run_on_ranks(
            dp * tp, "lightning.checkpoints:resume_checkpoint", family=family, dp=dp, tp=tp, path=path
        ):
            assert found["steps"] == 5
            assert found["losses"] < NEAR, (dp, tp)


def test_without_planc(tmp_path: Path) -> None:
    """A file, and a folder that Lightning's Fabric and torch have made one of, in a process without a
    strategy; and what is kept of the plan."""
    from lightning.fabric.utilities.load import _load_distributed_checkpoint
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    from tests.lightning.ranks.models import Model

    found = run_on_ranks(4, "lightning.checkpoints:both_formats", folder=str(tmp_path))
    assert all("another mesh (dp=2 x tp=2)" in one["message"][-1] for one in found if one["message"])
    assert sum(bool(one["message"]) for one in found) == 1
    file, folder = tmp_path / "file.ckpt", tmp_path / "folder.ckpt"
    whole = torch.load(file, weights_only=True)
    assert whole["planc"]["mesh"] == {"dp": 2, "tp": 2}
    assert whole["planc"]["plan"].startswith("plan body\nmesh dp, tp")
    digest = hashlib.sha256(f"{whole['planc']['plan']}\0".encode()).hexdigest()
    assert whole["planc"]["digest"] == digest
    dcp_to_torch_save(folder, tmp_path / "torch.pt")
    for state in (
        Model.load_from_checkpoint(file).state_dict(),
        _load_distributed_checkpoint(folder)["state_dict"],
        torch.load(tmp_path / "torch.pt", weights_only=True)["state_dict"],
    ):
        assert {name: tensor.sum().item() for name, tensor in state.items()} == pytest.approx(
            found[0]["sums"], abs=1e-5
        )


SCRIPT = """
import atexit
import torch.distributed as dist

atexit.register(lambda: print("at the end", dist.is_initialized()))
from tests.lightning.ranks.models import Model, make_strategy, make_trainer, seeded_model

model = seeded_model(Model)
make_trainer(make_strategy(True), 1, max_steps=1).fit(model)
print("after fit", dist.is_initialized())
"""


def test_a_process_ends_cleanly(tmp_path: Path) -> None:
    """The process group lives after `fit`, and not longer than planc."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TRANSFORMERS_VERBOSITY": "error"}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-2:] == ["after fit True", "at the end False"]
    assert "destroy_process_group" not in ended.stderr
