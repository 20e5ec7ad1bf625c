"""Canaries for Lightning's private names: where a release changes one, a sentence says what breaks and where."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("lightning")

import torch
from lightning.fabric.strategies.model_parallel import ModelParallelStrategy as FabricStrategy
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies.model_parallel import ModelParallelStrategy as TrainerStrategy

from planc.lightning import compat

PACKAGE = Path(__file__).parents[2] / "planc" / "lightning"
FUNCTIONS = {
    "apply_filter": (
        ["key", "filter", "source_dict", "target_dict"],
        "Fabric cannot save a state with a filter: planc/lightning/checkpoint_io.py, save_fabric_state",
    ),
    "validate_keys": (
        ["requested_keys", "checkpoint_keys", "strict"],
        "Fabric does not report what a checkpoint lacks: planc/lightning/checkpoint_io.py, load_fabric_state",
    ),
    "move_state_into": (
        ["source", "destination", "keys"],
        "Fabric does not load what is neither model nor optimizer: planc/lightning/checkpoint_io.py, "
        "load_fabric_state",
    ),
    "reduce_tensor": (
        ["result", "group", "reduce_op"],
        "values are not reduced over ranks: planc/lightning/reduce_values.py and plan_strategy.py",
    ),
    "materialize_module": (
        ["module", "device"],
        "modules outside the plan stay on the meta device: planc/lightning/plan_session.py, _materialize",
    ),
    "optimizers_to_device": (
        ["optimizers", "device"],
        "states of optimizers stay on another device: planc/lightning/trainer.py, setup",
    ),
}
STRATEGY_ATTRIBUTES = {
    "_data_parallel_size": "the user's sizes are not read: planc/lightning/plan_strategy.py, _setup_plan_mesh",
    "_tensor_parallel_size": "the user's sizes are not read: planc/lightning/plan_strategy.py, _setup_plan_mesh",
    "_device_mesh": "strategy.device_mesh is not the plan's: planc/lightning/plan_strategy.py, _setup_plan_mesh",
    "_save_distributed_checkpoint": "the form of a checkpoint is not known: save_checkpoint of both strategies",
    "_setup_distributed": "there is no process group: planc/lightning/plan_strategy.py, _init_process_group",
}


def strategies() -> list[Any]:
    return [TrainerStrategy(3, 5), FabricStrategy(lambda module, _: module, 3, 5)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_the_parameters_that_planc_passes(name: str) -> None:
    parameters, breaks = FUNCTIONS[name]
    assert list(inspect.signature(getattr(compat, name)).parameters) == parameters, breaks


@pytest.mark.parametrize("name", STRATEGY_ATTRIBUTES)
def test_strategies_have_the_attributes(name: str) -> None:
    for strategy in strategies():
        assert hasattr(strategy, name), STRATEGY_ATTRIBUTES[name]


def test_sizes_and_the_mesh_are_what_the_public_names_show() -> None:
    for strategy in strategies():
        assert compat.parallel_sizes(strategy) == (3, 5), STRATEGY_ATTRIBUTES["_data_parallel_size"]
        mesh: Any = mock.Mock()
        compat.set_device_mesh(strategy, mesh)
        assert strategy.device_mesh is mesh, STRATEGY_ATTRIBUTES["_device_mesh"]
        assert not compat.saves_full_checkpoints(strategy)


def test_sizes_can_be_set() -> None:
    strategy: Any = TrainerStrategy()
    compat.set_parallel_sizes(strategy, 2, 4)
    assert compat.parallel_sizes(strategy) == (2, 4)


def test_a_module_shows_the_mesh() -> None:
    module, mesh = LightningModule(), mock.Mock()
    compat.set_module_mesh(module, mesh)
    assert module.device_mesh is mesh, (
        "configure_model sees no mesh: planc/lightning/trainer.py, setup_environment"
    )


def test_fabric_asks_the_control_of_gradients() -> None:
    breaks = "micro-batches reduce their gradients each: planc/lightning/fabric.py, _NoGradientReduction"
    (strategy,) = (each for each in strategies() if isinstance(each, FabricStrategy))
    control: Any = mock.Mock(spec=compat.BackwardSyncControl)
    compat.set_backward_sync_control(strategy, control)
    assert strategy._backward_sync_control is control, breaks
    parameters = list(inspect.signature(compat.BackwardSyncControl.no_backward_sync).parameters)
    assert parameters == ["self", "module", "enabled"], breaks


def test_a_checkpoint_io_is_the_user_s() -> None:
    breaks = "a CheckpointIO of the user is ignored silently: planc/lightning/unsupported.py"
    strategy, given = TrainerStrategy(), mock.Mock()
    assert compat.checkpoint_io(strategy) is None, breaks
    strategy.checkpoint_io = given
    assert compat.checkpoint_io(strategy) is given, breaks


def test_callbacks_are_the_trainer_s() -> None:
    breaks = "callbacks that average weights are not rejected: planc/lightning/unsupported.py"
    module = LightningModule()
    assert compat.callbacks(module) == [], breaks
    trainer = Trainer(accelerator="cpu", devices=1, logger=False, barebones=True)
    module.trainer = trainer
    assert compat.callbacks(module) is trainer.callbacks, breaks  # type: ignore[attr-defined]


def test_reductions_without_a_process_group_change_nothing() -> None:
    value = torch.tensor([3.0])
    assert torch.equal(compat.reduce_tensor(value, None, reduce_op="sum"), value)


def test_private_names_stand_in_one_place() -> None:
    """No other file of planc/lightning takes a private name from Lightning."""
    for path in PACKAGE.glob("*.py"):
        if path.name == "compat.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lightning"):
                private = [alias.name for alias in node.names if alias.name.startswith("_")]
                assert not private, f"{path.name}: {private}"
