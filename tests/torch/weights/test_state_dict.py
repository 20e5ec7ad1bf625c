"""State dicts of split models are those of the unsplit model, and so are their optimizers'."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rank_pool import run_on_ranks


@pytest.mark.parametrize("family", ["bert_mlm", "gpt2", "phi3", "qwen3_moe", "whisper"])
def test_shown_in_the_models_order(family: str) -> None:
    assert run_on_ranks(2, "torch.weights.weights:state_dict_round_trip", family=family, dp=1, tp=2)[0]


@pytest.mark.parametrize("family", ["phi3", "mixtral", "t5"])
def test_shown_in_the_models_order_under_fsdp(family: str) -> None:
    assert run_on_ranks(4, "torch.weights.weights:state_dict_round_trip", family=family, dp=2, tp=2)[0]


@pytest.mark.parametrize("family", ["phi3", "gpt2"])
def test_a_distributed_checkpoint_goes_to_other_meshes(family: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "checkpoint")
    run_on_ranks(4, "torch.weights.weights:save_sharded", family=family, dp=2, tp=2, folder=folder)
    for dp, tp in ((1, 2), (1, 4), (4, 1), (1, 1)):
        run_on_ranks(
            dp * tp, "torch.weights.weights:resume_on_mesh", family=family, dp=dp, tp=tp, folder=folder
        )


def test_an_optimizer_that_never_stepped_takes_a_state(tmp_path: Path) -> None:
    folder = str(tmp_path / "checkpoint")
    run_on_ranks(1, "torch.weights.weights:save_unsharded", family="phi3", folder=folder)
    run_on_ranks(
        2, "torch.weights.weights:resume_on_mesh", family="phi3", dp=1, tp=2, folder=folder, raw=True
    )
