"""What both strategies do in one process, with parts of Lightning replaced.

Each row is a test of Lightning's own (`test_model_parallel.py`, of its Trainer and of Fabric) and the
one here that asks the same of our class, without a plan and, where it means something, with one.

| Lightning's                                       | here                                                  |
| ------------------------------------------------- | ----------------------------------------------------- |
| torch_greater_equal_2_4                           | an_old_torch                                          |
| device_mesh_access                                | the_mesh_is_not_there_before_the_processes            |
| validate_device_mesh_dimensions                   | sizes_that_do_not_fit, .._under_a_plan                |
| fsdp_v1_modules_unsupported                       | fsdp1_is_refused                                      |
| configure_model_required                          | configure_model                                       |
| save_checkpoint_storage_options                   | storage_options_are_refused                           |
| save_checkpoint_path_exists                       | a_file_in_place_of_a_folder, what_is_overwritten;     |
|                                                   | with a plan in test_checkpoints_places.py             |
| load_unknown_checkpoint_type                      | a_folder_that_is_no_checkpoint                        |
| set_timeout                                       | the_timeout_reaches_torch                             |
| meta_device_materialization                       | memory_for_meta_tensors; with a plan on processes     |
| align_compiled_param_names_with_module            | names_of_compiled_parts                               |
| checkpoint_io_unsupported                         | fabric_has_no_checkpoint_io                           |
| parallelize_fn_call                               | parallelize_fn                                        |
| no_backward_sync                                  | gradients_wait                                        |
| save_checkpoint_one_dist_module_required          | one_model_is_saved                                    |
| load_checkpoint_no_state                          | loading_into_nothing                                  |
| load_checkpoint_one_dist_module_required          | one_model_is_loaded                                   |
| load_raw_checkpoint_validate_single_file          | raw_weights_are_a_file; with a plan, folders, too     |
| load_raw_checkpoint_optimizer_unsupported         | an_optimizer_alone_is_not_loaded                      |
| model_parallel_*_does_not_corrupt_remote_path     | (not in 2.6.6) with a plan in test_checkpoints_places |
| model_parallel_load_checkpoint_loads_non_tensor.. | with a plan in test_checkpoints_alone.py              |
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
from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel

import planc
from planc.lightning import ModelParallelStrategy as ForTrainer
from planc.lightning import PlanStop
from planc.lightning.fabric import ModelParallelStrategy as ForFabric

PLAN = """plan two
mesh dp, tp
tensor tp {
    up    colwise
    down  rowwise
}
fsdp dp { root }
"""
CPU = torch.device("cpu")
Make = Callable[..., Any]


def same(module: Any, mesh: Any) -> Any:
    return module


def unplanned(**given: Any) -> ForTrainer:
    return ForTrainer(**given)


def unplanned_fabric(**given: Any) -> ForFabric:
    return ForFabric(**{"parallelize_fn": same, **given})


def planned(**given: Any) -> ForTrainer:
    return ForTrainer(plan=planc.parse(PLAN), **given)


def planned_fabric(**given: Any) -> ForFabric:
    return ForFabric(plan=planc.parse(PLAN), **given)


WITHOUT = pytest.mark.parametrize("make", [unplanned, unplanned_fabric])
WITH = pytest.mark.parametrize("make", [planned, planned_fabric])
ALL = pytest.mark.parametrize("make", [unplanned, unplanned_fabric, planned, planned_fabric])
DIMS = pytest.mark.parametrize(
    ("nodes", "devices", "dp", "tp"), [(1, 4, 1, 1), (1, 4, 2, 3), (1, 4, 4, 2), (2, 4, 1, 4), (2, 4, 2, 1)]
)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(4, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(torch.relu(self.up(x)))


class Configured(LightningModule):
    def configure_model(self) -> None:
        """Splits nothing."""


def placed(strategy: Any, nodes: int = 1, devices: int = 1) -> Any:
    """A strategy that believes to be one of several processes."""
    strategy._setup_distributed = mock.Mock()
    strategy._accelerator = mock.Mock()
    strategy.cluster_environment = mock.Mock(
        world_size=mock.Mock(return_value=nodes * devices), local_rank=mock.Mock(return_value=1)
    )
    strategy.parallel_devices = [CPU] * devices
    strategy.num_nodes = nodes
    if hasattr(strategy, "_lightning_module"):
        strategy._lightning_module = LightningModule()
    return strategy


def test_they_are_lightning_s_own() -> None:
    """Its connectors ask `isinstance`, and compare the name of the class."""
    assert isinstance(planned(), Stock)
    assert isinstance(planned_fabric(), StockFabric)
    for made in (planned(), planned_fabric(), unplanned(), unplanned_fabric()):
        assert type(made).__name__ == "ModelParallelStrategy"


@pytest.mark.parametrize("make", [unplanned, planned])
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
    strategy = placed(make(data_parallel_size=dp, tensor_parallel_size=tp), nodes, devices)
    with pytest.raises(RuntimeError, match="multiplied should equal the world size"):
        strategy.setup_environment()


@DIMS
@WITH
def test_sizes_that_do_not_fit_under_a_plan(
    make: Make, nodes: int, devices: int, dp: int, tp: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report names the axes of the plan, and it is the only thing said."""
    strategy = placed(make(data_parallel_size=dp, tensor_parallel_size=tp), nodes, devices)
    with pytest.raises(PlanStop) as stop:
        strategy.setup_environment()
    assert stop.value.code == 1
    assert isinstance(stop.value, planc.PlanError)
    said = capsys.readouterr().err
    assert f"{nodes * devices}" in said
    assert "dp" in said
    assert said.count("nothing was changed") == 1


@pytest.mark.parametrize("name", ["trainer", "fabric", "planned trainer", "planned fabric"])
def test_fsdp1_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = Configured()
    wrapped = mock.Mock(spec=FullyShardedDataParallel)
    module.named_modules = mock.Mock(return_value=[("inner", wrapped)])  # type: ignore[method-assign]
    module.modules = mock.Mock(return_value=[wrapped])  # type: ignore[method-assign]
    strategy: Any = {
        "trainer": unplanned, "fabric": unplanned_fabric, "planned trainer": planned, "planned fabric": planned_fabric,
    }[name]()  # fmt: skip
    strategy._accelerator = mock.Mock()
    strategy._device_mesh = mock.Mock()
    strategy._parallel_devices = [CPU]
    if "fabric" not in name:
        strategy.model = strategy._lightning_module = module
    work = (
        partial(strategy.setup_module, module) if "fabric" in name else partial(strategy.setup, mock.Mock())
    )
    if "planned" not in name:
        with pytest.raises(TypeError, match="only supports the new FSDP2 APIs"):
            work()
        return
    with pytest.raises(PlanStop):
        work()
    assert "FSDP1" in capsys.readouterr().err


def test_configure_model() -> None:
    """Without a plan it must be overridden, as that is where the user splits the model."""
    strategy: Any = unplanned()
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
    model = Two()
    if make is unplanned_fabric:
        state = {"model": model}
    other, shards, file = tmp_path / "other", tmp_path / "shards", tmp_path / "file"
    for folder, inside in ((other, "notes"), (shards, "meta.pt")):
        folder.mkdir()
        (folder / inside).touch()
    with mock.patch("lightning.fabric.strategies.model_parallel._has_dtensor_modules", return_value=True):
        strategy = make(save_distributed_checkpoint=False)
        if make is unplanned:
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


def save(strategy: Any, path: Path, state: dict[str, Any]) -> None:
    if isinstance(strategy, ForTrainer):
        strategy.save_checkpoint(dict(state), path)
    else:
        strategy.save_checkpoint(path, dict(state))


@ALL
def test_a_folder_that_is_no_checkpoint(make: Make, tmp_path: Path) -> None:
    strategy, model = make(), Two()
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
        mock.patch("planc.lightning.run.meshes", return_value=(mock.MagicMock(), mock.Mock())),
        mock.patch("planc.lightning.run.agree"),
        mock.patch("planc.lightning.trainer.Batches"),
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
    strategy: Any = unplanned(save_distributed_checkpoint=False)
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


@pytest.mark.parametrize("make", [unplanned_fabric, planned_fabric])
def test_fabric_has_no_checkpoint_io(make: Make) -> None:
    strategy = make()
    with pytest.raises(NotImplementedError, match="does not use the `CheckpointIO` plugin"):
        _ = strategy.checkpoint_io
    with pytest.raises(NotImplementedError, match="does not support setting a `CheckpointIO` plugin"):
        strategy.checkpoint_io = mock.Mock()


def test_parallelize_fn() -> None:
    """It is called with the module and the mesh, and what it returns is the module."""
    made = Two()
    function = mock.Mock(return_value=made)
    strategy = ForFabric(function)
    strategy._device_mesh, strategy.parallel_devices = mock.Mock(), [CPU]
    model = Two()
    optimizer = torch.optim.Adam(model.parameters())
    assert strategy.setup_module_and_optimizers(model, [optimizer])[:2] == (made, [optimizer])
    function.assert_called_once_with(model, strategy.device_mesh)
    strategy = ForFabric(mock.Mock(return_value=None))
    strategy._device_mesh, strategy.parallel_devices = mock.Mock(), [CPU]
    with pytest.raises(TypeError, match=r"must return a `nn\.Module` instance"):
        strategy.setup_module_and_optimizers(model, [optimizer])


@pytest.mark.parametrize("given", [{}, {"plan": PLAN, "parallelize_fn": same}])
def test_fabric_wants_a_plan_or_a_function(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="takes a plan or a parallelize_fn, one of them"):
        ForFabric(**given)


def test_gradients_wait() -> None:
    """Without a plan each unit of FSDP2 is told, as in Lightning; with one, in test_train.py."""
    unit = mock.Mock(spec=FSDPModule)
    module: Any = mock.Mock(modules=mock.Mock(return_value=[unit, nn.Linear(2, 2)]))
    control = unplanned_fabric()._backward_sync_control
    assert control is not None
    for enabled in (True, False):
        with control.no_backward_sync(module, enabled):
            unit.set_requires_gradient_sync.assert_called_with(not enabled, recurse=False)
        unit.set_requires_gradient_sync.assert_called_with(enabled, recurse=False)


def test_one_model_is_saved(tmp_path: Path) -> None:
    split = mock.patch(
        "lightning.fabric.strategies.model_parallel._has_dtensor_modules", lambda m: isinstance(m, nn.Module)
    )
    for state in ({}, {"model": Two()}):
        with pytest.raises(ValueError, match="Could not find a distributed model"):
            unplanned_fabric().save_checkpoint(tmp_path, dict(state))
    with split, pytest.raises(ValueError, match="Found multiple distributed models"):
        unplanned_fabric().save_checkpoint(tmp_path, {"one": Two(), "two": Two()})
    for number, state in ((0, {}), (2, {"one": Two(), "two": Two()})):
        strategy = planned_fabric()
        strategy._run = mock.Mock(says=dict)
        with pytest.raises(ValueError, match=f"one model is saved at a time, and the state has {number}"):
            strategy.save_checkpoint(tmp_path, dict(state))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("make", [unplanned_fabric, planned_fabric])
@pytest.mark.parametrize("state", [None, {}])
def test_loading_into_nothing(make: Make, state: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"load_checkpoint.*state={state}"):
        make().load_checkpoint(tmp_path, state=state)


def test_one_model_is_loaded(tmp_path: Path) -> None:
    split = mock.patch(
        "lightning.fabric.strategies.model_parallel._has_dtensor_modules", lambda m: isinstance(m, nn.Module)
    )
    for state in ({"other": "data"}, {"model": Two()}):
        with pytest.raises(ValueError, match="Could not find a distributed model"):
            unplanned_fabric().load_checkpoint(tmp_path, dict(state))
    with split, pytest.raises(ValueError, match="Found multiple distributed models"):
        unplanned_fabric().load_checkpoint(tmp_path, {"one": Two(), "two": Two()})
    for number, state in ((0, {"other": "data"}), (2, {"one": Two(), "two": Two()})):
        with pytest.raises(ValueError, match=f"one model is loaded at a time, and {number} were given"):
            planned_fabric().load_checkpoint(tmp_path, dict(state))


@pytest.mark.parametrize("make", [unplanned_fabric, planned_fabric])
def test_weights_alone_go_into_a_model(make: Make, tmp_path: Path) -> None:
    """A file that holds a state dict and nothing else, loaded into the module itself."""
    saved, model = Two(), Two()
    torch.save(saved.state_dict(), tmp_path / "raw")
    strategy = make()
    strategy._run = strategy._run and mock.Mock(says=dict)
    strategy.cluster_environment = LightningEnvironment()
    assert strategy.load_checkpoint(tmp_path / "raw", model) == {}
    assert torch.equal(model.up.weight, saved.up.weight)


def test_raw_weights_are_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be a single file containing the full state dict"):
        unplanned_fabric().load_checkpoint(tmp_path, Two())


@pytest.mark.parametrize("make", [unplanned_fabric, planned_fabric])
def test_an_optimizer_alone_is_not_loaded(make: Make, tmp_path: Path) -> None:
    optimizer = torch.optim.SGD(Two().parameters(), lr=0.1)
    with pytest.raises(NotImplementedError, match="Loading a single optimizer object"):
        make().load_checkpoint(tmp_path, optimizer)


def test_it_is_registered() -> None:
    trainer = Trainer(strategy="plan", accelerator="cpu", devices=1, logger=False, barebones=True)
    assert isinstance(trainer.strategy, ForTrainer)
