"""What the strategy for Fabric does in one process; what it shares with the Trainer's is in
test_lightning_unit.py.

| Lightning's                                       | here                                                  |
| ------------------------------------------------- | ----------------------------------------------------- |
| checkpoint_io_unsupported                         | fabric_has_no_checkpoint_io                           |
| parallelize_fn_call                               | parallelize_fn                                        |
| no_backward_sync                                  | gradients_wait                                        |
| save_checkpoint_one_dist_module_required          | one_model_is_saved                                    |
| load_checkpoint_no_state                          | loading_into_nothing                                  |
| load_checkpoint_one_dist_module_required          | one_model_is_loaded                                   |
| load_raw_checkpoint_validate_single_file          | raw_weights_are_a_file; with a plan, folders, too     |
| load_raw_checkpoint_optimizer_unsupported         | an_optimizer_alone_is_not_loaded                      |
| model_parallel_*_does_not_corrupt_remote_path     | urls; of more kinds in test_checkpoints_places.py     |
| model_parallel_load_checkpoint_loads_non_tensor.. | what_is_no_tensor                                     |
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest

pytest.importorskip("lightning")

import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from torch import nn
from torch.distributed.fsdp import FSDPModule

from planc.lightning.fabric import ModelParallelStrategy as ForFabric
from tests.lightning.single_process import (
    CPU,
    PLAN,
    Make,
    TwoLayers,
    unchanged,
    with_plan_fabric,
    without_plan_fabric,
)


@pytest.mark.parametrize("make", [without_plan_fabric, with_plan_fabric])
def test_fabric_has_no_checkpoint_io(make: Make) -> None:
    strategy = make()
    with pytest.raises(NotImplementedError, match="does not use the `CheckpointIO` plugin"):
        _ = strategy.checkpoint_io
    with pytest.raises(NotImplementedError, match="does not support setting a `CheckpointIO` plugin"):
        strategy.checkpoint_io = mock.Mock()


def test_parallelize_fn() -> None:
    """It is called with the module and the mesh, and what it returns is the module."""
    made = TwoLayers()
    function = mock.Mock(return_value=made)
    strategy = ForFabric(function)
    strategy._device_mesh, strategy.parallel_devices = mock.Mock(), [CPU]
    model = TwoLayers()
    optimizer = torch.optim.Adam(model.parameters())
    assert strategy.setup_module_and_optimizers(model, [optimizer])[:2] == (made, [optimizer])
    function.assert_called_once_with(model, strategy.device_mesh)
    strategy = ForFabric(mock.Mock(return_value=None))
    strategy._device_mesh, strategy.parallel_devices = mock.Mock(), [CPU]
    with pytest.raises(TypeError, match=r"must return a `nn\.Module` instance"):
        strategy.setup_module_and_optimizers(model, [optimizer])


@pytest.mark.parametrize("given", [{}, {"plan": PLAN, "parallelize_fn": unchanged}])
def test_fabric_wants_a_plan_or_a_function(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="takes either a plan or a parallelize_fn"):
        ForFabric(**given)


def test_gradients_wait() -> None:
    """Without a plan Lightning sets each unit of FSDP2; with one, tests/torch/train covers it."""
    unit = mock.Mock(spec=FSDPModule)
    module: Any = mock.Mock(modules=mock.Mock(return_value=[unit, nn.Linear(2, 2)]))
    control = without_plan_fabric()._backward_sync_control
    assert control is not None
    for enabled in (True, False):
        with control.no_backward_sync(module, enabled):
            unit.set_requires_gradient_sync.assert_called_with(not enabled, recurse=False)
        unit.set_requires_gradient_sync.assert_called_with(enabled, recurse=False)


def test_one_model_is_saved(tmp_path: Path) -> None:
    split = mock.patch(
        "lightning.fabric.strategies.model_parallel._has_dtensor_modules", lambda m: isinstance(m, nn.Module)
    )
    for state in ({}, {"model": TwoLayers()}):
        with pytest.raises(ValueError, match="Could not find a distributed model"):
            without_plan_fabric().save_checkpoint(tmp_path, dict(state))
    with split, pytest.raises(ValueError, match="Found multiple distributed models"):
        without_plan_fabric().save_checkpoint(tmp_path, {"one": TwoLayers(), "two": TwoLayers()})
    for number, state in ((0, {}), (2, {"one": TwoLayers(), "two": TwoLayers()})):
        strategy = with_plan_fabric()
        strategy._session = mock.Mock(checkpoint_metadata=dict)
        with pytest.raises(ValueError, match=f"one model is saved at a time, and the state has {number}"):
            strategy.save_checkpoint(tmp_path, dict(state))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("make", [without_plan_fabric, with_plan_fabric])
@pytest.mark.parametrize("state", [None, {}])
def test_loading_into_nothing(make: Make, state: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"load_checkpoint.*state={state}"):
        make().load_checkpoint(tmp_path, state=state)


def test_one_model_is_loaded(tmp_path: Path) -> None:
    split = mock.patch(
        "lightning.fabric.strategies.model_parallel._has_dtensor_modules", lambda m: isinstance(m, nn.Module)
    )
    for state in ({"other": "data"}, {"model": TwoLayers()}):
        with pytest.raises(ValueError, match="Could not find a distributed model"):
            without_plan_fabric().load_checkpoint(tmp_path, dict(state))
    with split, pytest.raises(ValueError, match="Found multiple distributed models"):
        without_plan_fabric().load_checkpoint(tmp_path, {"one": TwoLayers(), "two": TwoLayers()})
    for number, state in ((0, {"other": "data"}), (2, {"one": TwoLayers(), "two": TwoLayers()})):
        with pytest.raises(ValueError, match=f"one model is loaded at a time, and {number} were given"):
            with_plan_fabric().load_checkpoint(tmp_path, dict(state))


@pytest.mark.parametrize("make", [without_plan_fabric, with_plan_fabric])
def test_weights_alone_go_into_a_model(make: Make, tmp_path: Path) -> None:
    """A file that holds a state dict and nothing else, loaded into the module itself."""
    saved, model = TwoLayers(), TwoLayers()
    torch.save(saved.state_dict(), tmp_path / "raw")
    strategy = make()
    strategy._session = strategy._session and mock.Mock(checkpoint_metadata=dict)
    strategy.cluster_environment = LightningEnvironment()
    assert strategy.load_checkpoint(tmp_path / "raw", model) == {}
    assert torch.equal(model.up.weight, saved.up.weight)


def test_raw_weights_are_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a single file containing the full state dict"):
        without_plan_fabric().load_checkpoint(tmp_path, TwoLayers())


@pytest.mark.parametrize("make", [without_plan_fabric, with_plan_fabric])
def test_an_optimizer_alone_is_not_loaded(make: Make, tmp_path: Path) -> None:
    optimizer = torch.optim.SGD(TwoLayers().parameters(), lr=0.1)
    with pytest.raises(NotImplementedError, match="Loading a single optimizer object"):
        make().load_checkpoint(tmp_path, optimizer)


class Note(NamedTuple):
    """What torch.load with weights_only does not take."""

    text: str


@pytest.mark.parametrize("full", [False, True])
def test_what_is_no_tensor(full: bool, tmp_path: Path) -> None:
    strategy = single_process_strategy(save_distributed_checkpoint=not full)
    strategy.save_checkpoint(tmp_path / "there", {"model": TwoLayers(), "note": Note("kept")})
    state: Any = {"model": TwoLayers(), "note": None}
    # As in Lightning: the default of torch.load, unless the user sets it.
    with pytest.raises(pickle.UnpicklingError):
        strategy.load_checkpoint(tmp_path / "there", state)
    assert strategy.load_checkpoint(tmp_path / "there", state, weights_only=False) == {}
    assert state["note"] == Note("kept")


@pytest.mark.parametrize("full", [False, True])
def test_urls(full: bool) -> None:
    """With a plan they are what they say, and no folders named `memory:`."""
    strategy, saved, model = (
        single_process_strategy(save_distributed_checkpoint=not full),
        TwoLayers(),
        TwoLayers(),
    )
    url = f"memory://unit/{full}"
    strategy.save_checkpoint(url, {"model": saved})
    assert not Path("memory:").exists()
    strategy.load_checkpoint(url, {"model": model})
    assert torch.equal(model.up.weight, saved.up.weight)


def single_process_strategy(**given: Any) -> ForFabric:
    """A strategy with a plan, whose models are not split."""
    strategy = with_plan_fabric(**given)
    strategy._session = mock.Mock(checkpoint_metadata=dict)
    return strategy
