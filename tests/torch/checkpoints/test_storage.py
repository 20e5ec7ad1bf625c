"""Where checkpoints go: what they replace, what killed saves leave behind, URLs, and the background."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch

import planc
from planc.torch.checkpoints import atomic_rename, storage
from planc.torch.checkpoints.save_checkpoint import delete_checkpoint
from planc.torch.checkpoints.saver import CheckpointSaver
from planc.torch.checkpoints.state_dicts import model_state_dict
from tests.torch.checkpoints.small_model import (
    adamw,
    all_equal,
    load_training,
    save_training,
    small_model,
    state_values,
    train_losses,
)

FORMS = pytest.mark.parametrize("full", [False, True], ids=["folder", "file"])


@pytest.fixture(params=[True, False], ids=["in one step", "aside"])
def exchanging(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Systems that can exchange two names in one step, and others."""
    if not request.param:
        monkeypatch.setattr(atomic_rename, "exchange_paths", lambda *_: False)
    return bool(request.param)


def test_each_form_replaces_the_other(exchanging: bool, tmp_path: Path) -> None:
    path, own = tmp_path / "it", small_model(3)
    for number, full in enumerate([False, False, True, True, False]):
        save_training(path, small_model(number), None, full=full, number=number)
        assert load_training(path, own).rest == {"number": number}
        assert all_equal(state_values(own), state_values(small_model(number)))
        assert path.is_file() == full
        assert os.listdir(tmp_path) == ["it"]


def test_folders_hold_no_shards_of_others(exchanging: bool, tmp_path: Path) -> None:
    path = tmp_path / "it"
    save_training(path, small_model(), None, full=False)
    (path / "__7_0.distcp").touch()
    (path / "notes.txt").write_text("mine")
    save_training(path, small_model(), None, full=False)
    assert sorted(os.listdir(path)) == [".metadata", "__0_0.distcp", "meta.pt", "notes.txt"]


def test_folders_that_are_no_checkpoints_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").touch()
    with pytest.raises(IsADirectoryError, match="exists and is a directory"):
        save_training(tmp_path / "data", small_model(), None, full=True)
    save_training(tmp_path / "data", small_model(), None, full=False)
    assert (tmp_path / "data" / "file").exists()


def test_killed_between_the_two_steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What was put aside is found, and the next save puts all in order."""
    path, own = tmp_path / "it", small_model(3)
    save_training(path, small_model(0), None, full=False, number=0)
    monkeypatch.setattr(atomic_rename, "exchange_paths", lambda *_: False)
    rename = os.rename

    def killed(source: Any, target: Any) -> None:
        if Path(target) == path:
            raise KeyboardInterrupt
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", killed)
        patch.setattr(storage.LocalStorage, "discard", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            save_training(path, small_model(1), None, full=False, number=1)
    assert not path.exists()
    assert len(os.listdir(tmp_path)) == 2
    assert load_training(path, own).rest == {"number": 0}
    assert all_equal(state_values(own), state_values(small_model(0)))
    save_training(path, small_model(2), None, full=True, number=2)
    assert load_training(path, own).rest == {"number": 2}
    assert os.listdir(tmp_path) == ["it"]


@FORMS
def test_what_fails_leaves_the_last_one(full: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path, own = tmp_path / "it", small_model(3)
    save_training(path, small_model(0), None, full=full, number=0)
    with pytest.raises(Exception, match="pickle"):
        save_training(path, small_model(1), None, full=full, number=lambda: 0)
    assert load_training(path, own).rest == {"number": 0}
    assert os.listdir(tmp_path) == ["it"]
    delete_checkpoint(path)
    assert os.listdir(tmp_path) == []
    delete_checkpoint(path)


def test_a_link_is_replaced_and_not_what_it_points_to(tmp_path: Path) -> None:
    save_training(tmp_path / "first", small_model(0), None, full=False, number=0)
    (tmp_path / "last").symlink_to("first")
    save_training(tmp_path / "last", small_model(1), None, full=False, number=1)
    assert load_training(tmp_path / "first", small_model()).rest == {"number": 0}
    assert load_training(tmp_path / "last", small_model()).rest == {"number": 1}


@FORMS
def test_urls(full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url, files = f"memory://planc/{full}/it", fsspec.filesystem("memory")
    own, optimizer = small_model(0), None
    optimizer = adamw(own.parameters())
    for number in range(2):
        train_losses(own, optimizer, 2, number)
        save_training(url, own, optimizer, full=full, number=number)
    other = small_model(1)
    another = adamw(other.parameters())
    assert load_training(url, other, another).rest == {"number": 1}
    assert train_losses(other, another, 5, 2) == train_losses(own, optimizer, 5, 2)
    assert len(files.find(f"/planc/{full}")) == (1 if full else 4), "a save has left something behind"
    assert os.listdir() == [], "a folder of this machine was written"
    with pytest.raises((IsADirectoryError, FileExistsError)):
        save_training(url, own, None, full=not full)
    with pytest.raises(ValueError, match="give it as a string"):
        save_training(Path(url), own, None, full=full)
    delete_checkpoint(url)
    assert not files.find(f"/planc/{full}")
    with pytest.raises(planc.WeightsError, match="does not point to a valid checkpoint"):
        load_training(url, other)


def test_a_save_behind_a_url_that_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until its last file is there, the checkpoint is the one before, tensors and rest."""
    url, own = "memory://planc/broken/it", small_model(3)
    save_training(url, small_model(0), None, full=False, number=0)
    files = fsspec.filesystem("memory")
    put = type(files).pipe_file

    def breaks(self: Any, path: str, value: bytes, *more: Any) -> None:
        if path.endswith(".metadata"):
            raise OSError("the line is down")
        put(self, path, value, *more)

    with monkeypatch.context() as patch:
        patch.setattr(type(files), "pipe_file", breaks)
        with pytest.raises(Exception, match="the line is down"):
            save_training(url, small_model(1), None, full=False, number=1)
    assert load_training(url, own).rest == {"number": 0}
    assert all_equal(state_values(own), state_values(small_model(0)))
    save_training(url, small_model(2), None, full=False, number=2)
    assert load_training(url, own).rest == {"number": 2}
    assert len(files.find("/planc/broken")) == 4


@FORMS
def test_in_the_background_what_was_there_at_the_call_is_written(full: bool, tmp_path: Path) -> None:
    own, saver, rest = small_model(0), CheckpointSaver(), {"numbers": [1]}
    state = model_state_dict(own, full=full)
    saver.save(tmp_path / "it", {"state_dict": state}, rest, full=full, background=True)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.zero_()
    rest["numbers"].append(2)
    saver.close()
    assert load_training(tmp_path / "it", own).rest == {"numbers": [1]}
    assert all_equal(state_values(own), state_values(small_model(0)))


@FORMS
def test_what_fails_in_the_background_is_raised_where_somebody_waits(full: bool, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    saver, state = CheckpointSaver(), {"state_dict": small_model().state_dict()}
    for wait in (saver.wait, saver.close, lambda: saver.save(tmp_path / "it", state, {}, full=full)):
        saver.save(tmp_path / "file" / "it", state, {}, full=full, background=True)
        with pytest.raises((FileExistsError, NotADirectoryError)):
            wait()
    saver.save(tmp_path / "it", state, {}, full=full, background=True)
    saver.close()
    assert load_training(tmp_path / "it", small_model()).rest == {}


@FORMS
def test_storage_options_are_for_urls(full: bool, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="storage_options are for URLs"):
        CheckpointSaver().save(tmp_path / "it", {}, {}, full=full, storage_options={"anon": True})
    CheckpointSaver().save(f"file://{tmp_path}/it", {"state_dict": small_model().state_dict()}, {}, full=full)
    assert load_training(tmp_path / "it", small_model()).rest == {}
