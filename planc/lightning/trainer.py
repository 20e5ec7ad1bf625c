"""Lightning's ModelParallelStrategy for the Trainer, with one more argument: the plan."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies.model_parallel import ModelParallelStrategy as LightningStrategy
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.distributed import ReduceOp
from torch.distributed.constants import default_pg_timeout
from torch.optim import Optimizer

from planc.ir.expr import ExprValue
from planc.ir.sync import Sync
from planc.lightning import compat
from planc.lightning.all_ranks import run_on_all_ranks
from planc.lightning.callbacks import adapt_callbacks
from planc.lightning.checkpoint_io import load_trainer_checkpoint, save_trainer_checkpoint
from planc.lightning.dataloaders import check_first_batch
from planc.lightning.plan_arguments import PlanArgument, PlanArguments, PlanInputs
from planc.lightning.plan_mesh import ParallelSize
from planc.lightning.plan_strategy import PlanStrategy
from planc.lightning.precision_plugins import use_sharded_clipping
from planc.lightning.reduce_values import reduce_over_ranks
from planc.lightning.reinitialize import rebuild_via, skip_configure_model
from planc.lightning.unsupported import reject_unsupported
from planc.torch.checkpoints.state_dicts import model_state_dict, optimizer_state_dict
from planc.torch.train.batch_consistency import BatchConsistency
from planc.torch.train.no_sync import no_sync
from planc.torch.train.optimizer_step import step_per_mesh


class ModelParallelStrategy(PlanStrategy, LightningStrategy):
    """Lightning's strategy of the same name, with a plan. Given a plan, the strategy proves it on the
    LightningModule and then splits the module; without one, the strategy is Lightning's own.

    Args:
        data_parallel_size: Devices along the axes that split the batch. ``"auto"``: what the plan declares,
            else the number of nodes.
        tensor_parallel_size: Devices along the axes that split tensors. ``"auto"``: what the plan declares,
            else the devices of a node.
        save_distributed_checkpoint: Whether each rank saves its shards, into a folder; else rank 0
            writes one file with all of the model.
        process_group_backend: The backend of torch.distributed; by default the device's own.
        timeout: How long a rank waits for the others in one operation.
        plan: A plan: its path, the name of a shipped one, a `planc.Plan`, or its data form. ``"auto"``: the
            LightningModule's attribute `plan`, or the `.plan` file next to its source file.
        plan_target: The submodule that the plan's names are relative to, as ``"model"``; by default the
            LightningModule itself.
        plan_options: Values for the options of the plan.
        plan_graph: The captured graph of the target, or its file; by default the strategy captures it.
        plan_inputs: Example inputs of the target, for capture: tensors, or text such as
            ``["x=float32[4,16]"]``. By default `example_input_array`; models of transformers need none.
        sync: What happens where ranks begin with other weights or buffers. ``"broadcast"``: they get those of rank 0.
            ``"check"``: all ranks stop, and the report says which tensors differ. None: they are not compared.
        save_in_background: Whether training goes on while a checkpoint is written.
    """

    def __init__(
        self,
        data_parallel_size: ParallelSize = "auto",
        tensor_parallel_size: ParallelSize = "auto",
        save_distributed_checkpoint: bool = True,
        process_group_backend: str | None = None,
        timeout: timedelta | None = default_pg_timeout,
        plan: PlanArgument | None = None,
        plan_target: str | None = None,
        plan_options: Mapping[str, ExprValue] | None = None,
        plan_graph: str | os.PathLike[str] | None = None,
        plan_inputs: PlanInputs | None = None,
        sync: Sync | None = "broadcast",
        save_in_background: bool = False,
    ) -> None:
        super().__init__(
            data_parallel_size,
            tensor_parallel_size,
            save_distributed_checkpoint,
            process_group_backend,
            timeout,
        )
        arguments = PlanArguments.of(plan, plan_target, plan_options, plan_graph, plan_inputs, sync)
        self._init_plan(arguments, save_in_background=save_in_background)
        self._rebuild: Callable[[], nn.Module] | None = None
        """Makes the unsplit module as `configure_model` does; None: its modules' `reset_parameters` do."""
        self._unchecked_batches: BatchConsistency | None = None
        """Until the first training step, which checks its batch."""

    # ---- the environment and the model ------------------------------------------

    def setup_environment(self) -> None:
        if self._session is None:
            super().setup_environment()
            return
        self._init_process_group()
        module = self.lightning_module
        assert module is not None
        run_on_all_ranks(lambda: reject_unsupported(module, compat.checkpoint_io(self)))
        self._setup_plan_mesh(self._session, module)
        compat.set_module_mesh(module, self.device_mesh)
        axes = self._session.axes
        compat.set_parallel_sizes(
            self, axes.device_count(axes.data_axes), axes.device_count(axes.tensor_axes)
        )
        self._unchecked_batches = BatchConsistency(self.device_mesh)
        # Parameters that are on the meta device by now were not made by configure_model: their modules
        # reset them.
        if is_overridden("configure_model", module) and not any(p.is_meta for p in module.parameters()):
            self._rebuild = rebuild_via(module, "configure_model")

    def setup(self, trainer: pl.Trainer) -> None:
        if self._session is None:
            super().setup(trainer)
            return
        module = self.lightning_module
        assert module is not None
        assert self.accelerator is not None
        self.accelerator.setup(trainer)
        self.model = self.precision_plugin.convert_module(module)
        self._session.apply_plan(module, self.precision_plugin.precision, self._rebuild)
        if trainer.state.fn == TrainerFn.FITTING:
            adapt_callbacks(module)
        if is_overridden("configure_model", module):
            # A later run of a Trainer takes the split model as it is.
            vars(module)["configure_model"] = skip_configure_model
        use_sharded_clipping(self.precision_plugin)
        self.barrier()
        if trainer.state.fn == TrainerFn.FITTING:
            self.setup_optimizers(trainer)
        self.setup_precision_plugin()
        if trainer.state.fn == TrainerFn.FITTING:
            compat.optimizers_to_device(self.optimizers, self.root_device)

    # ---- a step --------------------------------------------------------------------

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        if self._unchecked_batches is not None:
            check_first_batch(self._unchecked_batches, args)
            self._unchecked_batches = None
        return super().training_step(*args, **kwargs)

    @contextmanager
    def block_backward_sync(self) -> Generator[None, None, None]:
        if self._session is None or self.model is None:
            with super().block_backward_sync():
                yield
            return
        with no_sync(self.model):
            yield

    def optimizer_step(
        self,
        optimizer: Optimizer,
        closure: Callable[[], Any],
        model: pl.LightningModule | nn.Module | None = None,
        **kwargs: Any,
    ) -> Any:
        if self._session is None:
            return super().optimizer_step(optimizer, closure, model, **kwargs)
        with step_per_mesh(optimizer):
            result = super().optimizer_step(optimizer, closure, model, **kwargs)
        self._session.check_outside_grads()
        return result

    def reduce(
        self, tensor: Tensor | Any, group: Any | None = None, reduce_op: ReduceOp | str | None = "mean"
    ) -> Tensor:
        if self._session is None or group is not None:
            return super().reduce(tensor, group, reduce_op)
        reduced: Tensor = reduce_over_ranks(tensor, self._session.mesh, reduce_op)
        return reduced

    # ---- checkpoints ---------------------------------------------------------------

    def lightning_module_state_dict(self) -> dict[str, Any]:
        if self._session is None:
            return super().lightning_module_state_dict()
        assert self.model is not None
        return model_state_dict(self.model, full=compat.saves_full_checkpoints(self))

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        if self._session is None:
            return super().optimizer_state(optimizer)
        assert self.model is not None
        unwrapped = optimizer.optimizer if isinstance(optimizer, LightningOptimizer) else optimizer
        return optimizer_state_dict(self.model, unwrapped, full=compat.saves_full_checkpoints(self))

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any | None = None
    ) -> None:
        if self._session is None or storage_options is not None:
            super().save_checkpoint(checkpoint, filepath, storage_options)
            return
        save_trainer_checkpoint(
            self._saver, checkpoint, self.broadcast(os.fspath(filepath)), self._session,
            full=compat.saves_full_checkpoints(self), background=self._save_in_background and not self._links_checkpoints(),
        )  # fmt: skip

    def _links_checkpoints(self) -> bool:
        """Whether a callback links to a checkpoint as soon as it is saved: it must be in its place by then."""
        module = self.lightning_module
        callbacks = [] if module is None else compat.callbacks(module)
        return any(isinstance(each, ModelCheckpoint) and each.save_last == "link" for each in callbacks)

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        if self._session is None:
            return super().load_checkpoint(checkpoint_path, weights_only)
        module = self.lightning_module
        assert module is not None
        self._saver.wait()
        path = self.broadcast(os.fspath(checkpoint_path))
        return load_trainer_checkpoint(
            path, module, self.optimizers, self._session, module.strict_loading, weights_only
        )

    def remove_checkpoint(self, filepath: str | Path) -> None:
        self._saver.wait()
        super().remove_checkpoint(filepath)
