"""Checkpoints through the Trainer: saved on one mesh, resumed on others, read without planc."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning")


from tests.lightning.ranks import Ranks, shared

NEAR = 1e-4


@pytest.fixture(scope="session")
def ranks() -> Ranks:
    return shared()


@pytest.mark.parametrize(
    ("family", "sharded", "background"),
    [("llama", True, False), ("llama", False, True), ("phi3", True, True), ("phi3", False, False)],
)
def test_it_goes_on_on_other_meshes(
    family: str, sharded: bool, background: bool, ranks: Ranks, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"family": family, "folder": str(tmp_path)}
    saved = ranks.ask(4, "failures_saved:saves", dp=2, tp=2, sharded=sharded, background=background, **given)
    assert all(found["losses"] < NEAR for found in saved)
    assert saved[0]["kept"] == ["last.ckpt", "step=2.ckpt", "step=4.ckpt"]
    assert saved[0]["link"]
    path = saved[0]["path"]
    assert Path(path).is_dir() == sharded
    for dp, tp in ((4, 1), (1, 4), (1, 1)):
        for found in ranks.ask(dp * tp, "failures_saved:resumes", family=family, dp=dp, tp=tp, path=path):
            assert found["steps"] == 5
            assert found["losses"] < NEAR, (dp, tp)
