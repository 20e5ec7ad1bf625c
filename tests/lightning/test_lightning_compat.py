"""Canaries: a release of Lightning that drops or changes a private name fails here first.

Each canary says what planc does with the name, and so what breaks, and where.
"""

from __future__ import annotations

import inspect
from typing import Any
from unittest import mock

import pytest

torch = pytest.importorskip("torch")
lightning = pytest.importorskip("lightning")

from lightning.fabric.strategies.model_parallel import ModelParallelStrategy as FabricStrategy  # noqa: E402
from lightning.pytorch import LightningModule, Trainer  # noqa: E402
from lightning.pytorch.callbacks import StochasticWeightAveraging  # noqa: E402
from lightning.pytorch.strategies.model_parallel import (  # noqa: E402
    ModelParallelStrategy as TrainerStrategy,
)
from torch import nn  # noqa: E402

from planc.lightning import compat  # noqa: E402
from tests.torch.canaries import Canaries  # noqa: E402

CANARIES = Canaries(compat, f"lightning {lightning.__version__}")
canary = CANARIES.check


@pytest.mark.parametrize("name", compat.__all__)
def test_a_private_name_of_lightning_does_what_planc_needs(name: str) -> None:
    CANARIES.run(name)


def _strategies() -> list[Any]:
    return [TrainerStrategy(3, 5), FabricStrategy(lambda module, _: module, 3, 5)]


def _parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


# ---- checkpoints ------------------------------------------------------------------------------


@canary("apply_filter", breaks="lightning/checkpoint_io.py: Fabric saves a state without its filter")
def _filter() -> None:
    assert _parameters(compat.apply_filter) == ["key", "filter", "source_dict", "target_dict"]
    saved: dict[str, Any] = {}
    compat.apply_filter("model", {"model": lambda name, _: name == "up"}, {"up": 1, "down": 2}, saved)
    assert saved == {"model": {"up": 1}}


@canary("validate_keys", breaks="lightning/checkpoint_io.py: Fabric does not report what a checkpoint lacks")
def _missing_keys() -> None:
    assert _parameters(compat.validate_keys) == ["requested_keys", "checkpoint_keys", "strict"]
    compat.validate_keys({"epoch"}, {"step"}, strict=False)
    with pytest.raises(KeyError, match="epoch"):
        compat.validate_keys({"epoch"}, {"step"}, strict=True)


@canary("move_state_into", breaks="lightning/checkpoint_io.py: Fabric loads models and optimizers alone")
def _state() -> None:
    assert _parameters(compat.move_state_into) == ["source", "destination", "keys"]
    state = {"epoch": 0, "step": 0}
    compat.move_state_into(source={"epoch": 3, "step": 7}, destination=state, keys={"epoch"})
    assert state == {"epoch": 3, "step": 0}


@canary("saves_full_checkpoints", breaks="save_checkpoint of both strategies: a folder or a file by chance")
def _format() -> None:
    for strategy in _strategies():
        assert not compat.saves_full_checkpoints(strategy)
    assert compat.saves_full_checkpoints(TrainerStrategy(save_distributed_checkpoint=False))


@canary("checkpoint_io", breaks="lightning/unsupported.py: a CheckpointIO of the user is ignored silently")
def _checkpoint_io() -> None:
    strategy, given = TrainerStrategy(), mock.Mock()
    assert compat.checkpoint_io(strategy) is None
    assert strategy.checkpoint_io is not None
    assert compat.checkpoint_io(strategy) is None, "a look at the property makes Lightning's default"
    strategy.checkpoint_io = given
    assert compat.checkpoint_io(strategy) is given


@canary(
    "set_average_model", breaks="lightning/callbacks.py: StochasticWeightAveraging averages the unsplit copy"
)
def _averages() -> None:
    callback, averages = StochasticWeightAveraging(0.1), nn.ParameterList()
    assert callback._average_model is None
    compat.set_average_model(callback, averages)
    assert callback._average_model is averages


# ---- processes and the mesh -----------------------------------------------------------------------


@canary("setup_distributed", breaks="lightning/plan_strategy.py: there is no process group")
def _process_group() -> None:
    for strategy in _strategies():
        with mock.patch.object(type(strategy), "_setup_distributed") as initialize:
            compat.setup_distributed(strategy)
        initialize.assert_called_once_with()


@canary("parallel_sizes", breaks="lightning/plan_strategy.py: the user's sizes are ignored")
@canary("set_parallel_sizes", breaks="lightning/trainer.py: Lightning divides batches by the wrong size")
def _sizes() -> None:
    for strategy in _strategies():
        assert compat.parallel_sizes(strategy) == (3, 5)
        compat.set_parallel_sizes(strategy, 2, 4)
        assert compat.parallel_sizes(strategy) == (2, 4)


@canary("set_device_mesh", breaks="lightning/plan_strategy.py: strategy.device_mesh is not the plan's")
def _strategy_mesh() -> None:
    for strategy in _strategies():
        mesh: Any = mock.Mock()
        compat.set_device_mesh(strategy, mesh)
        assert strategy.device_mesh is mesh


@canary("set_module_mesh", breaks="lightning/trainer.py: configure_model sees no mesh")
def _module_mesh() -> None:
    module, mesh = LightningModule(), mock.Mock()
    compat.set_module_mesh(module, mesh)
    assert module.device_mesh is mesh


@canary("callbacks", breaks="lightning/unsupported.py: callbacks that average weights are accepted")
def _callbacks() -> None:
    module = LightningModule()
    assert compat.callbacks(module) == []
    trainer = Trainer(accelerator="cpu", devices=1, logger=False, barebones=True)
    module.trainer = trainer
    assert compat.callbacks(module) is vars(trainer)["callbacks"]


# ---- steps --------------------------------------------------------------------------------------------


@canary("reduce_tensor", breaks="lightning/reduce_values.py: values are not reduced over ranks")
def _reduction() -> None:
    assert _parameters(compat.reduce_tensor) == ["result", "group", "reduce_op"]
    value = torch.tensor([3.0])
    assert torch.equal(compat.reduce_tensor(value, None, reduce_op="sum"), value)


@canary(
    "BackwardSyncControl",
    "set_backward_sync_control",
    breaks="lightning/fabric.py: each micro-batch reduces its gradients",
)
def _accumulation() -> None:
    assert _parameters(compat.BackwardSyncControl.no_backward_sync) == ["self", "module", "enabled"]
    strategy, control = FabricStrategy(lambda module, _: module), mock.MagicMock()
    compat.set_backward_sync_control(strategy, control)
    fabric = lightning.Fabric(accelerator="cpu", devices=1)
    fabric._strategy, fabric._launched = strategy, True
    wrapped = lightning.fabric.wrappers._FabricModule(nn.Linear(2, 2), strategy)
    with fabric.no_backward_sync(wrapped):
        pass
    control.no_backward_sync.assert_called_once()


@canary("materialize_module", breaks="lightning/plan_session.py: modules outside the plan have no memory")
def _materialization() -> None:
    with torch.device("meta"):
        module = nn.Linear(2, 2)
    compat.materialize_module(module, torch.device("cpu"))
    assert not any(param.is_meta for param in module.parameters())


@canary("optimizers_to_device", breaks="lightning/trainer.py: states of optimizers stay on another device")
def _optimizers() -> None:
    assert _parameters(compat.optimizers_to_device) == ["optimizers", "device"]
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    compat.optimizers_to_device([optimizer], torch.device("cpu"))
    assert len(optimizer.state) == 2
