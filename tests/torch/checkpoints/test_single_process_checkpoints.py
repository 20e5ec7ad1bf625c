"""Checkpoints in one process, without a process group: what fits, what does not, and who else reads them."""

from __future__ import annotations

import pickle
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch.distributed.checkpoint.state_dict import get_model_state_dict, get_optimizer_state_dict

import planc
from planc.torch.checkpoints.load_checkpoint import load_checkpoint
from planc.torch.checkpoints.save_checkpoint import save_checkpoint
from planc.torch.checkpoints.state_dicts import model_state_dict, optimizer_state_dict
from tests.torch.checkpoints.small_model import (
    Make,
    adafactor,
    adamw,
    all_equal,
    load_training,
    save_training,
    small_model,
    state_values,
    train_losses,
)

FORMS = pytest.mark.parametrize("full", [False, True], ids=["folder", "file"])


def trained(seed: int = 0, make: Make = adamw, steps: int = 2) -> tuple[Any, Any]:
    """A model and its optimizer after some steps."""
    own = small_model(seed)
    optimizer = make(own.parameters())
    train_losses(own, optimizer, steps, seed)
    return own, optimizer


@FORMS
@pytest.mark.parametrize("steps", [0, 3], ids=["fresh", "stepped"])
@pytest.mark.parametrize(
    "make",
    [
        adamw,
        partial(adamw, foreach=True),
        partial(adamw, fused=True),
        lambda parameters: torch.optim.AdamW(parameters, lr=torch.tensor(0.01), foreach=False),
        partial(torch.optim.SGD, lr=0.1),
        partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        torch.optim.Adafactor,
        adafactor,
    ],
    ids=["adamw", "foreach", "fused", "tensor-lr", "sgd", "momentum", "adafactor", "hf-adafactor"],
)
def test_the_next_losses_are_the_same(make: Make, steps: int, full: bool, tmp_path: Path) -> None:
    own, optimizer = trained(0, make)
    other, another = trained(1, make, steps)
    save_training(tmp_path / "it", own, optimizer, full=full, epoch=3, planc={"plan": "text"})
    found = load_training(tmp_path / "it", other, another)
    assert found.rest == {"epoch": 3, "planc": {"plan": "text"}}
    assert not found.notes
    assert train_losses(other, another, 5, 2) == train_losses(own, optimizer, 5, 2)
    assert all_equal(state_values(other), state_values(own))


@FORMS
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler looks at what is not a leaf
@pytest.mark.parametrize("which", ["compiled", "wrapped", "inside"])
def test_names_are_those_of_what_is_wrapped(which: str, full: bool, tmp_path: Path) -> None:
    def around(own: Any) -> Any:
        if which == "compiled":
            return torch.compile(own, backend="eager")
        if which == "wrapped":
            own[0] = checkpoint_wrapper(own[0])
        else:
            own[0].compile(backend="eager")
            own[3] = torch.compile(own[3], backend="eager")
        return own

    own, optimizer = trained()
    save_training(tmp_path / "of-wrapped", around(own), optimizer, full=full)
    plain, plains = trained(1)
    load_training(tmp_path / "of-wrapped", plain, plains)
    assert all_equal(state_values(plain), state_values(own))
    save_training(tmp_path / "of-plain", plain, plains, full=full)
    inner, inners = trained(2)
    load_training(tmp_path / "of-plain", around(inner), inners)
    expected = train_losses(own, optimizer, 5, 2)
    assert train_losses(plain, plains, 5, 2) == expected
    assert train_losses(inner, inners, 5, 2) == expected


@FORMS
def test_all_faults_at_once_and_nothing_changed(full: bool, tmp_path: Path) -> None:
    own, optimizer = trained()
    save_training(tmp_path / "it", own, optimizer, full=full, epoch=3)
    other: Any = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Identity(), nn.Linear(8, 5, bias=False))
    another = adamw(other.parameters())
    before = state_values(other)
    with pytest.raises(planc.WeightsError) as raised:
        load_training(tmp_path / "it", other, another)
    expected = ["'3.weight' is (4, 8) there, and (5, 8) in the model", "the model has no '3.bias'"]
    expected += (
        ["'optimizer_0' has 6 parameters there, and 5 in the optimizer"]
        if full
        else ["'optimizer_0' has '3.bias', and the optimizer does not"]
    )
    assert list(raised.value.faults) == expected
    assert all_equal(state_values(other), before)
    assert not another.state
    found = load_training(tmp_path / "it", other, another, strict=False)
    assert found.rest == {"epoch": 3}
    assert found.notes == tuple(f"not loaded: {fault}" for fault in expected)
    assert all_equal(state_values(other)[:7], state_values(own)[:7])
    assert torch.equal(other[3].weight, before[-1])
    # The state of a parameter that does not fit does not either; in a file, parameters have no names.
    fit = [] if full else [p for name, p in other.named_parameters() if name != "3.weight"]
    assert set(another.state) == set(fit)
    other.add_module("more", nn.Linear(2, 2))
    with pytest.raises(planc.WeightsError) as raised:
        load_training(tmp_path / "it", other)
    assert "there is no 'more.weight'" in raised.value.faults


@FORMS
def test_states_of_another_shape_are_refused(full: bool, tmp_path: Path) -> None:
    own, optimizer = trained()
    state = optimizer_state_dict(own, optimizer, full=full)
    state["state"][0 if full else "0.weight"]["exp_avg"] = torch.zeros(3)
    key = {"optimizer_states": [state]} if full else {"optimizer_0": state}
    save_checkpoint(tmp_path / "it", {"state_dict": model_state_dict(own, full=full), **key}, {}, full=full)
    with pytest.raises(planc.WeightsError) as raised:
        load_training(tmp_path / "it", own, optimizer)
    assert raised.value.faults == (
        "'optimizer_0': of '0.weight', 'exp_avg' is (3,) there, and (8, 4) in the optimizer",
    )


@FORMS
def test_weights_alone(full: bool, tmp_path: Path) -> None:
    own, _ = trained()
    save_training(tmp_path / "it", own, None, full=full, epoch=3)
    other, another = trained(1)
    found = load_training(tmp_path / "it", other, adamw(other.parameters()))
    assert all_equal(state_values(other), state_values(own))
    assert found.rest == {"epoch": 3}
    assert "has no states of optimizers" in found.notes[0]
    torch.save(own.state_dict(), tmp_path / "bare.pt")
    other, another = trained(1)
    found = load_training(tmp_path / "bare.pt", other, another)
    assert all_equal(state_values(other), state_values(own))
    assert found.rest == {}
    assert len(found.notes) == 2


@FORMS
def test_settings_are_taken_as_far_as_they_go(full: bool, tmp_path: Path) -> None:
    own, optimizer = trained()
    optimizer.param_groups[0].update(lr=0.5, foreach=True, initial_lr=0.7)
    del optimizer.param_groups[0]["amsgrad"]
    save_training(tmp_path / "it", own, optimizer, full=full)
    other, another = trained(1)
    another.param_groups[0].update(new_one=7, foreach=False)
    load_training(tmp_path / "it", other, another)
    group = another.param_groups[0]
    assert (group["lr"], group["initial_lr"]) == (0.5, 0.7)
    assert (group["new_one"], group["amsgrad"], group["foreach"]) == (7, False, False)


@FORMS
def test_several_optimizers_groups_and_frozen_parameters(full: bool, tmp_path: Path) -> None:
    def made(seed: int) -> tuple[Any, list[Any]]:
        own: Any = small_model(seed)
        own[1].bias.requires_grad_(False)
        groups = [{"params": [own[3].bias]}, {"params": [own[1].bias, own[3].weight], "lr": 0.3}]
        optimizers = [adamw(own[0].parameters()), torch.optim.SGD(groups, lr=0.1, momentum=0.5)]
        for n, optimizer in enumerate(optimizers):
            train_losses(own, optimizer, 2, 10 * seed + n)
        return own, optimizers

    own, optimizers = made(0)
    states = [optimizer_state_dict(own, optimizer, full=full) for optimizer in optimizers]
    keys = {"optimizer_states": states} if full else dict(zip(["optimizer_0", "optimizer_1"], states))
    save_checkpoint(tmp_path / "it", {"state_dict": model_state_dict(own, full=full), **keys}, {}, full=full)
    other, others = made(1)
    load_checkpoint(
        tmp_path / "it", {"state_dict": other, "optimizer_0": others[0], "optimizer_1": others[1]}
    )
    for one, another in zip(optimizers, others, strict=True):
        assert train_losses(own, one, 3, 5) == train_losses(other, another, 3, 5)
    assert all_equal(state_values(own), state_values(other))
    with pytest.raises(planc.WeightsError, match="there is no 'optimizer_2'"):
        load_checkpoint(
            tmp_path / "it", {"state_dict": other, **{f"optimizer_{n}": others[0] for n in range(3)}}
        )


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_torch_reads_what_is_written(tmp_path: Path) -> None:
    """A file as an unsplit run has it; a folder as torch's own functions know it; a folder made one file."""
    own, optimizer = trained()
    save_training(tmp_path / "file", own, optimizer, full=True, epoch=3)
    save_training(tmp_path / "folder", own, optimizer, full=False, epoch=3)
    saved = torch.load(tmp_path / "file")
    assert saved["epoch"] == 3
    other, another = trained(1)
    other.load_state_dict(saved["state_dict"])
    another.load_state_dict(saved["optimizer_states"][0])
    assert all_equal(state_values(other), state_values(own))
    state: dict[str, Any] = {
        "state_dict": get_model_state_dict(other),
        "optimizer_0": get_optimizer_state_dict(other, another),
    }
    for value in state["state_dict"].values():
        value.zero_()
    dcp.load(state, checkpoint_id=tmp_path / "folder", no_dist=True)
    assert all_equal(state_values(other), state_values(own))
    wanted = optimizer.state_dict()["state"]
    assert torch.equal(state["optimizer_0"]["state"]["3.weight"]["exp_avg"], wanted[4]["exp_avg"])
    dcp_to_torch_save(tmp_path / "folder", tmp_path / "one")
    made_one = torch.load(tmp_path / "one") | torch.load(tmp_path / "folder" / "meta.pt")
    torch.save(made_one, tmp_path / "one")
    third, thirds = trained(2)
    assert load_training(tmp_path / "one", third, thirds).rest == {"epoch": 3}
    assert train_losses(third, thirds, 5, 2) == train_losses(own, optimizer, 5, 2)


@FORMS
def test_weights_only_is_heard(full: bool, tmp_path: Path) -> None:
    own, _ = trained()
    save_training(tmp_path / "it", own, None, full=full, odd=Fraction(1, 3))
    with pytest.raises(pickle.UnpicklingError):
        load_training(tmp_path / "it", own)
    assert load_training(tmp_path / "it", own, weights_only=False).rest == {"odd": Fraction(1, 3)}


class Counting(nn.Module):
    """A module with a state of its own kind."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.seen: Any = None

    def get_extra_state(self) -> Any:
        return self.seen

    def set_extra_state(self, state: Any) -> None:
        self.seen = state


@FORMS
def test_extra_states(full: bool, tmp_path: Path) -> None:
    own, other = nn.Sequential(Counting(), nn.Linear(2, 2)), nn.Sequential(Counting(), nn.Linear(2, 2))
    own[0].seen = {"batches": 5, "mean": torch.arange(3.0)}  # type: ignore[assignment]
    save_training(tmp_path / "it", own, None, full=full)
    load_training(tmp_path / "it", other)
    found: Any = other[0].seen
    assert found["batches"] == 5
    assert torch.equal(found["mean"], torch.arange(3.0))


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    own, optimizer = trained()
    with pytest.raises(planc.WeightsError, match="there is nothing"):
        load_training(tmp_path / "none", own)
    with pytest.raises(planc.WeightsError, match=r"a folder without '\.metadata'"):
        load_training(tmp_path, own)
    torch.save({"epoch": 3}, tmp_path / "other.pt")
    with pytest.raises(planc.WeightsError, match="has no 'state_dict'; it has 'epoch'"):
        load_training(tmp_path / "other.pt", own)
    with pytest.raises(ValueError, match="one model is loaded at a time"):
        load_checkpoint(tmp_path / "none", {"optimizer_0": optimizer})
    with pytest.raises(planc.WeightsError, match="make the optimizer after the model is split"):
        save_training(tmp_path / "it", small_model(), optimizer, full=False)
