"""What both strategies do in one process, with parts of Lightning replaced.

Each row is a test of Lightning's own (`test_model_parallel.py`, of its Trainer and of Fabric) and the
one here that asks the same of our class, without a plan and, where it means something, with one.

| Lightning's                                       | here                                                  |
| ------------------------------------------------- | ----------------------------------------------------- |
| torch_greater_equal_2_4                           | an_old_torch                                          |
| device_mesh_access                                | the_mesh_is_not_there_before_the_processes            |
| validate_device_mesh_dimensions                   | sizes_that_do_not_fit, .._under_a_plan                |
| fsdp_v1_modules_unsupported                       | fsdp1_is_refused, .._under_a_plan                     |
| configure_model_required                          | configure_model                                       |
| save_checkpoint_storage_options                   | storage_options_are_refused                           |
| save_checkpoint_path_exists                       | what_is_overwritten, .._under_a_plan                  |
| load_unknown_checkpoint_type                      | a_folder_that_is_no_checkpoint                        |
| set_timeout                                       | the_timeout_reaches_torch                             |
| meta_device_materialization                       | memory_for_meta_tensors; with a plan on processes     |
| align_compiled_param_names_with_module            | names_of_compiled_parts                               |
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("lightning")

import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.fabric.strategies import ModelParallelStrategy as StockFabric
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import ModelParallelStrategy as Stock
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

import planc
from planc.lightning import ModelParallelStrategy as ForTrainer
from planc.lightning import PlanAbort
from planc.lightning.fabric import ModelParallelStrategy as ForFabric
from tests.lightning.single_process import (
    CPU,
    Configured,
    Make,
    TwoLayers,
    fake_multiprocess,
    with_plan,
    with_plan_fabric,
    without_plan,
    without_plan_fabric,
)

WITHOUT = pytest.mark.parametrize("make", [without_plan, without_plan_fabric])
WITH = pytest.mark.parametrize("make", [with_plan, with_plan_fabric])
ALL = pytest.mark.parametrize("make", [without_plan, without_plan_fabric, with_plan, with_plan_fabric])
DIMS = pytest.mark.parametrize(
    ("nodes", "devices", "dp", "tp"), [(1, 4, 1, 1), (1, 4, 2, 3), (1, 4, 4, 2), (2, 4, 1, 4), (2, 4, 2, 1)]
)


def test_they_are_lightning_s_own() -> None:
    """Its connectors ask `isinstance`, and compare the name of the class."""
    assert isinstance(with_plan(), Stock)
    assert isinstance(with_plan_fabric(), StockFabric)
    for made in (with_plan(), with_plan_fabric(), without_plan(), without_plan_fabric()):
        assert type(made).__name__ == "ModelParallelStrategy"


@pytest.mark.parametrize("make", [without_plan, with_plan])
def test_an_old_torch(make: Make) -> None:
    with (
        mock.patch("lightning.pytorch.strategies.model_parallel._TORCH_GREATER_EQUAL_2_4", new=False),
        pytest.raises(ImportError, match=r"ModelParallelStrategy requires PyTorch 2\.4"),
    ):
        make()


@ALL
def test_the_mesh_is_not_there_before_the_processes(make: Make) -> None:
    with pytest.raises(RuntimeError, match=r"Accessing the device mesh .* not allowed"):
        _ = make().device_mesh


@DIMS
@WITHOUT
def test_sizes_that_do_not_fit(make: Make, nodes: int, devices: int, dp: int, tp: int) -> None:
    strategy = fake_multiprocess(make(data_parallel_size=dp, tensor_parallel_size=tp), nodes, devices)
    with pytest.raises(RuntimeError, match="multiplied should equal the world size"):
        strategy.setup_environment()


@DIMS
@WITH
def test_sizes_that_do_not_fit_under_a_plan(
    make: Make, nodes: int, devices: int, dp: int, tp: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report names the axes of the plan, and it is the only thing said."""
    strategy = fake_multiprocess(make(data_parallel_size=dp, tensor_parallel_size=tp), nodes, devices)
    with pytest.raises(PlanAbort) as stop:
        strategy.setup_environment()
    assert stop.value.code == 1
    assert isinstance(stop.value, planc.PlanError)
    message = capsys.readouterr().err
    assert f"{nodes * devices}" in message
    assert "dp" in message
    assert message.count("nothing was changed") == 1


def wrapped_by_fsdp1(strategy: Any) -> Callable[[], Any]:
    """What sets up a module that holds one of the older FSDP."""
    inner = mock.Mock(spec=FullyShardedDataParallel)
    module: Any = Configured()
    module.modules = mock.Mock(return_value=[inner])
    module.named_modules = mock.Mock(return_value=[("inner", inner)])
    strategy._accelerator, strategy._device_mesh = mock.Mock(), mock.Mock()
    strategy._parallel_devices = [CPU]
    if isinstance(strategy, ForFabric):
        return partial(strategy.setup_module, module)
    strategy.model = strategy._lightning_module = module
    return partial(strategy.setup, mock.Mock())


@WITHOUT
def test_fsdp1_is_refused(make: Make) -> None:
    with pytest.raises(TypeError, match="only supports the new FSDP2 APIs"):
        wrapped_by_fsdp1(make())()


@WITH
def test_fsdp1_is_refused_under_a_plan(make: Make) -> None:
    with pytest.raises(PlanAbort) as stop:
        wrapped_by_fsdp1(make())()
    assert "'inner' is wrapped by FSDP1" in stop.value.reasons[0]


def test_configure_model() -> None:
    """Without a plan it must be overridden, as that is where the user splits the model."""
    strategy: Any = without_plan()
    strategy._accelerator = mock.Mock()
    strategy._parallel_devices = [CPU]
    strategy.model = strategy._lightning_module = LightningModule()
    with pytest.raises(TypeError, match="you are required to override the `configure_model"):
        strategy.setup(mock.Mock())
    strategy.model = strategy._lightning_module = Configured()
    strategy.setup(mock.Mock())


@ALL
def test_storage_options_are_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"save_checkpoint\(..., storage_options=...\)` is not supported"):
        make().save_checkpoint({}, tmp_path, storage_options=mock.Mock())


@WITHOUT
def test_what_is_overwritten(make: Make, tmp_path: Path) -> None:
    """A file may take the place of a folder of shards, and not that of any other folder; a folder
    may take that of a file."""
    state: Any = {"state_dict": {"x": torch.ones(2)}}
    model = TwoLayers()
    if make is without_plan_fabric:
        state = {"model": model}
    other, shards, file = tmp_path / "other", tmp_path / "shards", tmp_path / "file"
    for folder, inside in ((other, "notes"), (shards, "meta.pt")):
        folder.mkdir()
        (folder / inside).touch()
    with mock.patch("lightning.fabric.strategies.model_parallel._has_dtensor_modules", return_value=True):
        strategy = make(save_distributed_checkpoint=False)
        if make is without_plan:
            strategy._lightning_module = mock.Mock()
        with pytest.raises(IsADirectoryError, match="exists and is a directory"):
            save(strategy, other, state)
        save(strategy, shards, state)
        assert shards.is_file()
        file.write_text("old")
        save(strategy, file, state)
        assert file.read_bytes()[:2] == b"PK"
        with mock.patch("torch.distributed.checkpoint.save"):
            save(make(save_distributed_checkpoint=True), file, state)
        assert file.is_dir()
        with mock.patch("torch.distributed.checkpoint.save"):
            save(make(save_distributed_checkpoint=True), other, state)
        assert (other / "notes").exists()


@WITH
def test_what_is_overwritten_under_a_plan(make: Make, tmp_path: Path) -> None:
    """The same; only that nobody's folder is written into."""
    state: Any = {"model": TwoLayers()} if make is with_plan_fabric else {"state_dict": {"x": torch.ones(2)}}
    other, place = tmp_path / "other", tmp_path / "place"
    other.mkdir()
    (other / "notes").touch()
    full, shards = (make(save_distributed_checkpoint=several) for several in (False, True))
    for strategy in (full, shards):
        strategy._session = mock.Mock(checkpoint_metadata=dict)
    with pytest.raises(IsADirectoryError, match="exists and is a directory"):
        save(full, other, state)
    for strategy in (shards, full, full, shards, shards):
        save(strategy, place, state)
        assert place.is_dir() == (strategy is shards)
    save(shards, other, state)
    assert (other / "notes").exists()


def save(strategy: Any, path: Path, state: dict[str, Any]) -> None:
    if isinstance(strategy, ForTrainer):
        strategy.save_checkpoint(dict(state), path)
    else:
        strategy.save_checkpoint(path, dict(state))


@ALL
def test_a_folder_that_is_no_checkpoint(make: Make, tmp_path: Path) -> None:
    strategy, model = make(), TwoLayers()
    if isinstance(strategy, ForTrainer):
        strategy.model = strategy._lightning_module = Configured()
    into = () if isinstance(strategy, ForTrainer) else ({"model": model},)
    with (
        mock.patch("lightning.fabric.strategies.model_parallel._has_dtensor_modules", return_value=True),
        pytest.raises((ValueError, planc.WeightsError)) as fault,
    ):
        strategy.load_checkpoint(tmp_path, *into)
    assert str(tmp_path) in str(fault.value)


@ALL
def test_the_timeout_reaches_torch(make: Make) -> None:
    strategy = make(timeout=timedelta(seconds=30))
    strategy.parallel_devices = [CPU]
    strategy.cluster_environment = LightningEnvironment()
    strategy._accelerator = mock.Mock()
    if isinstance(strategy, ForTrainer):
        strategy._lightning_module = LightningModule()
    module = "pytorch" if isinstance(strategy, ForTrainer) else "fabric"
    with (
        mock.patch(f"lightning.{module}.strategies.model_parallel._setup_device_mesh"),
        mock.patch("planc.lightning.plan_session.make_meshes", return_value=(mock.MagicMock(), mock.Mock())),
        mock.patch("planc.lightning.plan_session.sync_rng"),
        mock.patch("planc.lightning.trainer.BatchConsistency"),
        mock.patch("torch.distributed.init_process_group") as init,
    ):
        strategy.setup_environment()
    init.assert_called_once_with("gloo", rank=0, world_size=1, timeout=timedelta(seconds=30), device_id=None)


class NoReset(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 4))


class Parts(Configured):
    def __init__(self) -> None:
        super().__init__()
        self.some = nn.Sequential(NoReset(), NoReset())
        self.linear = nn.Linear(4, 4)
        self.register_buffer("buffer", torch.rand(2))

    def reset_parameters(self) -> None:
        self.buffer.fill_(1.0)


@WITHOUT
def test_memory_for_meta_tensors(make: Make) -> None:
    with torch.device("meta"):
        module = Parts()
    strategy = make()
    strategy._accelerator, strategy._device_mesh = mock.Mock(), mock.Mock()
    strategy._parallel_devices = [CPU]
    if isinstance(strategy, ForTrainer):
        strategy.model = strategy._lightning_module = module
    work = (
        partial(strategy.setup, mock.Mock())
        if isinstance(strategy, ForTrainer)
        else partial(strategy.setup_module, module)
    )
    with pytest.warns(UserWarning, match="for re-initialization: NoReset"):
        work()
    assert not any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers()))
    assert module.buffer.tolist() == [1.0, 1.0]


def test_names_of_compiled_parts() -> None:
    """A full checkpoint has the optimizer's states by number, whatever torch.compile calls the
    parameters."""
    strategy: Any = without_plan(save_distributed_checkpoint=False)
    model = Configured()
    model.inner = torch.compile(nn.Linear(3, 2), backend="eager")
    optimizer = torch.optim.SGD(model.parameters(), momentum=0.9, lr=0.1)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    strategy.model = model
    strategy.cluster_environment = mock.Mock(global_rank=mock.Mock(return_value=0))
    state = strategy.optimizer_state(optimizer)
    assert list(state["state"]) == [0, 1]
    assert state["param_groups"][0]["params"] == [0, 1]


def test_it_is_registered() -> None:
    trainer = Trainer(strategy="plan", accelerator="cpu", devices=1, logger=False, barebones=True)
    assert isinstance(trainer.strategy, ForTrainer)
