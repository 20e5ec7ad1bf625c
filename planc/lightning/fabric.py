"""Lightning's ModelParallelStrategy for Fabric, with a plan in place of `parallelize_fn`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

from lightning.fabric.strategies.model_parallel import ModelParallelStrategy as LightningStrategy
from torch import Tensor, nn
from torch.distributed import ReduceOp
from torch.distributed.constants import default_pg_timeout
from torch.distributed.device_mesh import DeviceMesh
from torch.optim import Optimizer

from planc.ir.expr import ExprValue
from planc.ir.sync import Sync
from planc.lightning import compat
from planc.lightning.checkpoint_io import load_fabric_state, save_fabric_state
from planc.lightning.optimizer_params import remap_optimizer_params
from planc.lightning.plan_arguments import PlanArgument, PlanArguments, PlanInputs
from planc.lightning.plan_mesh import ParallelSize
from planc.lightning.plan_strategy import PlanStrategy
from planc.lightning.precision_plugins import use_synced_scaler
from planc.lightning.reduce_values import reduce_over_ranks
from planc.torch.train.grad_norm import clip_grad_norm, clip_grad_value
from planc.torch.train.no_sync import no_sync
from planc.torch.train.optimizer_step import step_per_mesh

ParallelizeFn = Callable[[Any, DeviceMesh], Any]


class ModelParallelStrategy(PlanStrategy, LightningStrategy):
    """Lightning's strategy of the same name, with a plan. Given a plan, `fabric.setup` proves it on the
    module and then splits the module; given `parallelize_fn`, the strategy is Lightning's own.

    Args:
        parallelize_fn: A function that applies parallelism to a module, given the mesh.
        data_parallel_size: Devices along the axes that split the batch. ``"auto"``: what the plan declares,
            else the number of nodes.
        tensor_parallel_size: Devices along the axes that split tensors. ``"auto"``: what the plan declares,
            else the devices of a node.
        save_distributed_checkpoint: Whether each rank saves its shards, into a folder; else rank 0
            writes one file with all of the model.
        process_group_backend: The backend of torch.distributed; by default the device's own.
        timeout: How long a rank waits for the others in one operation.
        plan: A plan: its path, the name of a shipped one, a `planc.Plan`, or its data form.
        plan_target: The submodule that the plan's names are relative to; by default the module that is set up.
        plan_options: Values for the options of the plan.
        plan_graph: The captured graph of the target, or its file; by default the strategy captures it.
        plan_inputs: Example inputs of the target, for capture: tensors, or text such as
            ``["x=float32[4,16]"]``. Models of transformers need none.
        sync: What happens where ranks begin with other weights or buffers. ``"broadcast"``: they get those of rank 0.
            ``"check"``: all ranks stop, and the report says which tensors differ. None: they are not compared.
        save_in_background: Whether training goes on while a checkpoint is written.

    Raises:
        TypeError: neither a plan nor `parallelize_fn` is given, or both.
    """

    def __init__(
        self,
        parallelize_fn: ParallelizeFn | None = None,
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
        if (plan is None) == (parallelize_fn is None):
            raise TypeError(f"{type(self).__name__} takes either a plan or a parallelize_fn")
        super().__init__(
            parallelize_fn or _unused_parallelize_fn, data_parallel_size, tensor_parallel_size, save_distributed_checkpoint,
            process_group_backend, timeout,
        )  # fmt: skip
        arguments = PlanArguments.of(plan, plan_target, plan_options, plan_graph, plan_inputs, sync)
        self._init_plan(arguments, save_in_background=save_in_background)
        if arguments is not None:
            compat.set_backward_sync_control(self, _NoGradientReduction())

    def setup_environment(self) -> None:
        if self._session is None:
            super().setup_environment()
            return
        assert self.accelerator is not None
        self.accelerator.setup_device(self.root_device)
        self._init_process_group()
        self._setup_plan_mesh(self._session, None)

    def setup_module(self, module: nn.Module) -> nn.Module:
        if self._session is None:
            return super().setup_module(module)
        self._session.apply_plan(module, self.precision.precision)
        use_synced_scaler(self.precision)
        return module

    def setup_module_and_optimizers(
        self, module: nn.Module, optimizers: list[Optimizer], scheduler: Any | None = None
    ) -> tuple[nn.Module, list[Optimizer], Any | None]:
        if self._session is None:
            return super().setup_module_and_optimizers(module, optimizers, scheduler)
        with remap_optimizer_params(module, optimizers):
            self.setup_module(module)
        return module, [self.setup_optimizer(optimizer) for optimizer in optimizers], scheduler

    def optimizer_step(self, optimizer: Any, **kwargs: Any) -> Any:
        if self._session is None or not isinstance(optimizer, Optimizer):
            return super().optimizer_step(optimizer, **kwargs)
        with step_per_mesh(optimizer):
            result = super().optimizer_step(optimizer, **kwargs)
        self._session.check_outside_grads()
        return result

    def all_reduce(
        self, tensor: Tensor, group: Any | None = None, reduce_op: ReduceOp | str | None = "mean"
    ) -> Tensor:
        if self._session is None or group is not None:
            return super().all_reduce(tensor, group, reduce_op)
        reduced: Tensor = reduce_over_ranks(tensor, self._session.mesh, reduce_op)
        return reduced

    def clip_gradients_norm(
        self, module: nn.Module, optimizer: Optimizer, max_norm: float, norm_type: float = 2.0,
        error_if_nonfinite: bool = True,
    ) -> Tensor:  # fmt: skip
        if self._session is None:
            return super().clip_gradients_norm(module, optimizer, max_norm, norm_type, error_if_nonfinite)
        self.precision.unscale_gradients(optimizer)
        return clip_grad_norm(self.precision.main_params(optimizer), max_norm, norm_type, error_if_nonfinite)

    def clip_gradients_value(self, module: nn.Module, optimizer: Optimizer, clip_val: float) -> None:
        if self._session is None:
            super().clip_gradients_value(module, optimizer, clip_val)
            return
        self.precision.unscale_gradients(optimizer)
        clip_grad_value(self.precision.main_params(optimizer), clip_val)

    def save_checkpoint(
        self, path: str | Path, state: dict[str, Any], storage_options: Any | None = None,
        filter: dict[str, Callable[[str, Any], bool]] | None = None,  # noqa: A002  # Lightning's name
    ) -> None:  # fmt: skip
        if self._session is None or storage_options is not None:
            super().save_checkpoint(path, state, storage_options, filter)
            return
        save_fabric_state(
            self._saver, self.broadcast(os.fspath(path)), state, self._session, filter or {},
            full=compat.saves_full_checkpoints(self), background=self._save_in_background,
        )  # fmt: skip

    def load_checkpoint(
        self,
        path: str | Path,
        state: Any | None = None,
        strict: bool = True,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        if self._session is None or not state or isinstance(state, Optimizer):
            return super().load_checkpoint(path, state, strict, weights_only)
        self._saver.wait()
        return load_fabric_state(self.broadcast(os.fspath(path)), state, self._session, strict, weights_only)


class _NoGradientReduction(compat.BackwardSyncControl):
    """Keeps the gradients of micro-batches on their rank until the last one."""

    def no_backward_sync(self, module: nn.Module, enabled: bool) -> AbstractContextManager[None]:
        return no_sync(module, enabled=enabled)


def _unused_parallelize_fn(module: Any, mesh: DeviceMesh) -> Any:
    """Lightning requires a function; under a plan it is never called."""
    return module
