"""Checkpoints of split models: saved on one mesh, loaded on another, as if there were no mesh."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rank_pool import run_on_ranks
from tests.shared_files import once_per_run
from tests.torch.apply.family_graphs import family_graph
from tests.torch.checkpoints.ranks import sharded_checkpoints

FORMS = ("folder", "file")
TWO, DATA, TENSOR = {"dp": 2, "tp": 2}, {"dp": 4, "tp": 1}, {"dp": 1, "tp": 4}


def faults(found: list[list[str]]) -> list[str]:
    """What is wrong, on any rank."""
    return [f"rank {rank}: {fault}" for rank, wrong in enumerate(found) for fault in wrong[:5]]


@pytest.fixture(scope="module")
def gpt2() -> Path:
    """A model with fused and tied weights, saved on two times two ranks."""
    return once_per_run("gpt2-checkpoints", _save_gpt2)


def _save_gpt2(folder: Path) -> None:
    given = {"name": "gpt2", "graph": family_graph("gpt2"), "folder": str(folder)}
    wrong = faults(
        run_on_ranks(4, "torch.checkpoints.sharded_checkpoints:save_checkpoints", sizes=TWO, **given)
    )
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("sizes", [TWO, DATA, TENSOR], ids=["2x2", "4x1", "1x4"])
def test_it_goes_on_as_if_never_split_on_other_meshes(gpt2: Path, sizes: dict[str, int]) -> None:
    for form in FORMS:
        given = {"name": "gpt2", "graph": family_graph("gpt2"), "path": str(gpt2 / form)}
        wrong = faults(
            run_on_ranks(4, "torch.checkpoints.sharded_checkpoints:resume_checkpoint", sizes=sizes, **given)
        )
        assert not wrong, "\n".join([form, *wrong])


@pytest.mark.parametrize("form", FORMS)
def test_it_goes_on_in_one_process(gpt2: Path, form: str) -> None:
    wrong = sharded_checkpoints.resume_checkpoint("gpt2", {}, None, str(gpt2 / form))
    assert not wrong, "\n".join(wrong)


def test_a_file_is_that_of_an_unsplit_run(gpt2: Path) -> None:
    wrong = sharded_checkpoints.matches_unsplit("gpt2", str(gpt2 / "file"))
    assert not wrong, "\n".join(wrong)


def test_it_goes_on_after_one_process(gpt2: Path, tmp_path: Path) -> None:
    wrong = sharded_checkpoints.save_checkpoints("gpt2", {}, None, str(tmp_path))
    for form in FORMS:
        given = {"name": "gpt2", "graph": family_graph("gpt2"), "path": str(tmp_path / form)}
        wrong += faults(
            run_on_ranks(4, "torch.checkpoints.sharded_checkpoints:resume_checkpoint", sizes=TWO, **given)
        )
    assert not wrong, "\n".join(wrong)


def test_several_optimizers_frozen_parameters_and_wrappers(tmp_path: Path) -> None:
    run_on_ranks(4, "torch.checkpoints.sharded_checkpoints:toy_save", sizes=TWO, folder=str(tmp_path))
    for form in FORMS:
        path = str(tmp_path / form)
        wrong = faults(
            run_on_ranks(4, "torch.checkpoints.sharded_checkpoints:toy_resume", sizes=DATA, path=path)
        )
        wrong += sharded_checkpoints.toy_resume({}, path)
        assert not wrong, "\n".join([form, *wrong])
        for message in run_on_ranks(
            4, "torch.checkpoints.sharded_checkpoints:toy_rejections", sizes=DATA, path=path
        ):
            missing, failed, misfit = message
            assert "there is nothing" in missing
            assert "not on this node" in failed
            assert "there is no 'more.weight'" in misfit
            assert "optimizer_0" in misfit
        for read, local in run_on_ranks(
            4, "torch.checkpoints.sharded_checkpoints:bytes_read", sizes=DATA, path=path
        ):
            assert read <= local


def test_behind_a_url(tmp_path: Path) -> None:
    wrong = faults(
        run_on_ranks(4, "torch.checkpoints.sharded_checkpoints:save_to_url", sizes=TWO, folder=str(tmp_path))
    )
    assert not wrong, "\n".join(wrong)


def test_models_that_are_not_split_and_ranks_that_cannot_write(tmp_path: Path) -> None:
    wrong = faults(
        run_on_ranks(4, "torch.checkpoints.sharded_checkpoints:save_plain_model", folder=str(tmp_path))
    )
    assert not wrong, "\n".join(wrong)
