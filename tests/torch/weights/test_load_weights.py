"""`planc.load_weights`: every kind of file into every mesh; each rank reads only its slices."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import planc
from tests.rank_pool import run_on_ranks
from tests.shared_files import once_per_run

MESHES = ((1, 2), (2, 2), (1, 1))


@pytest.fixture(scope="module")
def phi3() -> Path:
    return once_per_run("phi3-weights", lambda folder: _write("phi3", folder))


def _write(family: str, folder: Path) -> None:
    run_on_ranks(1, "torch.weights.weights:write_weight_files", family=family, folder=str(folder))


def _read(family: str, dp: int, tp: int, path: Path) -> None:
    read, local = run_on_ranks(
        dp * tp, "torch.weights.weights:load_on_mesh", family=family, dp=dp, tp=tp, path=str(path)
    )[0]
    assert read == local


@pytest.mark.parametrize(("dp", "tp"), [*MESHES, (4, 1)])
def test_a_folder_with_an_index(phi3: Path, dp: int, tp: int) -> None:
    assert (phi3 / "model.safetensors.index.json").exists()
    _read("phi3", dp, tp, phi3)


@pytest.mark.parametrize(("dp", "tp"), MESHES)
def test_a_file_of_torch_save(phi3: Path, dp: int, tp: int) -> None:
    _read("phi3", dp, tp, phi3 / "whole.pt")


@pytest.mark.parametrize(
    "family", ["bert_mlm", "gpt2", "mixtral", "neox", "qwen3_moe", "t5", "vit", "whisper"]
)
def test_names_and_pieces_of_transformers(family: str, tmp_path: Path) -> None:
    """Tied tensors are absent, experts are apart, modules have had other names."""
    _write(family, tmp_path)
    _read(family, 2, 2, tmp_path)


def test_a_distributed_checkpoint(tmp_path: Path) -> None:
    run_on_ranks(4, "torch.weights.weights:write_checkpoint", family="phi3", dp=2, tp=2, folder=str(tmp_path))
    for dp, tp in MESHES:
        _read("phi3", dp, tp, tmp_path / "alone")
    _read("phi3", 1, 4, tmp_path / "among")


def test_all_faults_at_once_and_nothing_changed(phi3: Path) -> None:
    found = run_on_ranks(
        4, "torch.weights.weights:load_rejected_file", family="phi3", dp=2, tp=2, path=str(phi3 / "wrong.pt")
    )[0]
    assert found == [
        "'model.layers.0.self_attn.o_proj.weight' is (3,) there, and (64, 64) in the model",
        "there is no 'model.layers.0.self_attn.qkv_proj.weight'",
        "the model has no 'left.over'",
    ]


def test_nothing_to_read(phi3: Path, tmp_path: Path) -> None:
    from torch import nn

    with pytest.raises(planc.WeightsError, match="there is no file or folder"):
        planc.load_weights(nn.Linear(2, 2), tmp_path / "none.pt")
    with pytest.raises(planc.WeightsError, match="neither safetensors files nor"):
        planc.load_weights(nn.Linear(2, 2), tmp_path)
    index = json.loads((phi3 / "model.safetensors.index.json").read_text())
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(planc.WeightsError, match="is not complete"):
        planc.load_weights(nn.Linear(2, 2), tmp_path)
