"""Every private name of Lightning that planc uses, in one place.

Seen in Lightning 2.6.5 and 2.6.6; pyproject.toml allows no other minor release. `tests/lightning/test_lightning_compat.py`
has a canary for each name, which says what breaks without it.
"""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.strategies.strategy import (
    _apply_filter,
    _BackwardSyncControl,
    _validate_keys_for_strict_loading,
)
from lightning.fabric.utilities.distributed import _sync_ddp_if_available
from lightning.fabric.utilities.init import _materialize_distributed_module
from lightning.fabric.utilities.load import _move_state_into
from lightning.fabric.utilities.optimizer import _optimizers_to_device
from lightning.pytorch.callbacks import StochasticWeightAveraging
from torch.distributed.device_mesh import DeviceMesh

BackwardSyncControl = _BackwardSyncControl
"""What Fabric asks in `no_backward_sync`: a strategy's way to accumulate gradients without reducing them."""
apply_filter = _apply_filter
"""`(key, filter, source, target)`: copies what the user's filter of a Fabric state lets through."""
validate_keys = _validate_keys_for_strict_loading
"""`(requested, saved, strict)`: raises Lightning's KeyError for what a checkpoint lacks."""
move_state_into = _move_state_into
"""`(source, destination, keys)`: loads stateful objects of a Fabric state and replaces the other values."""
reduce_tensor = _sync_ddp_if_available
"""`(tensor, group, reduce_op)`: the reduction over ranks that `reduce` and `all_reduce` of strategies make."""
materialize_module = _materialize_distributed_module
"""`(module, device)`: memory and `reset_parameters` for what is on the meta device, with Lightning's warning."""
optimizers_to_device = _optimizers_to_device
"""`(optimizers, device)`: moves the states of optimizers."""


def setup_distributed(strategy: Any) -> None:
    """Set the ranks and initialize the process group, as either ModelParallelStrategy does."""
    strategy._setup_distributed()


def set_device_mesh(strategy: Any, mesh: DeviceMesh) -> None:
    """Set what `strategy.device_mesh` returns."""
    strategy._device_mesh = mesh


def set_module_mesh(module: pl.LightningModule, mesh: DeviceMesh) -> None:
    """Set what `module.device_mesh` returns, as in `configure_model`."""
    module._device_mesh = mesh


def parallel_sizes(strategy: Any) -> tuple[Any, Any]:
    """The arguments `data_parallel_size` and `tensor_parallel_size` of a strategy."""
    return strategy._data_parallel_size, strategy._tensor_parallel_size


def set_parallel_sizes(strategy: Any, data: int, tensor: int) -> None:
    """Set the sizes that Lightning reads from a strategy of the Trainer, once they are known."""
    strategy._data_parallel_size, strategy._tensor_parallel_size = data, tensor


def saves_full_checkpoints(strategy: Any) -> bool:
    """Whether rank 0 writes one file with all of the model: `save_distributed_checkpoint=False`."""
    return not strategy._save_distributed_checkpoint


def set_backward_sync_control(strategy: Any, control: _BackwardSyncControl) -> None:
    """Set what Fabric's `no_backward_sync` uses."""
    strategy._backward_sync_control = control


def checkpoint_io(strategy: Any) -> Any:
    """The CheckpointIO that the user gave to a Trainer, or None; the public property makes Lightning's default where there is
    none, and so does the removal of a checkpoint."""
    given = strategy._checkpoint_io
    return None if type(given) is TorchCheckpointIO else given


def callbacks(module: pl.LightningModule) -> list[Any]:
    """The callbacks of the Trainer that a module is attached to; none where there is no Trainer. The public
    property `module.trainer` raises there."""
    trainer = module._trainer
    return [] if trainer is None else vars(trainer)["callbacks"]


def set_average_model(callback: StochasticWeightAveraging, averages: torch.nn.Module) -> None:
    """Give the callback the parameters that it averages; it has copied those of the whole module when it was set up."""
    callback._average_model = averages  # type: ignore[assignment]  # of it the callback takes the parameters alone


__all__ = [
    "BackwardSyncControl", "apply_filter", "callbacks", "checkpoint_io", "materialize_module", "move_state_into",
    "optimizers_to_device", "parallel_sizes", "reduce_tensor", "saves_full_checkpoints", "set_average_model", "set_backward_sync_control",
    "set_device_mesh", "set_module_mesh", "set_parallel_sizes", "setup_distributed", "validate_keys",
]  # fmt: skip
