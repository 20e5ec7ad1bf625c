"""What both strategies do with a plan: read it, make its mesh, prove it, split the model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_warn
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FullyShardedDataParallel

from planc.ir.document import Document
from planc.ir.sync import Sync
from planc.lightning import compat
from planc.lightning.all_ranks import run_on_all_ranks
from planc.lightning.applied_plan import (
    AppliedPlan,
    applied_plan_of,
    apply_to_module,
    prove_on_module,
    target_module,
)
from planc.lightning.plan_arguments import PlanArguments, plan_digest, read_plan_on_all_ranks
from planc.lightning.plan_mesh import PlanAxes, WorldSizes, make_meshes, resolve_axes
from planc.lightning.reinitialize import rebuild_via_reset_parameters
from planc.prepare_plan import NotApplicable, PreparedPlan
from planc.report.summary import verdict_line
from planc.torch.train.outside_grads import OutsideGrads
from planc.torch.train.precision_conflicts import needs_loss_scaling, precision_conflicts
from planc.torch.train.sync_params import sync_params
from planc.torch.train.sync_rng import sync_rng
from planc.torch.train.uncovered_params import uncovered_params_error
from planc.torch.weights.materialize import materialize_model


class PlanSession:
    """The plan of one strategy: its arguments, then its mesh, then the module that it splits."""

    def __init__(self, arguments: PlanArguments) -> None:
        self.arguments = arguments
        self.device = torch.device("cpu")
        self.document: Document
        self.axes: PlanAxes
        self.mesh: DeviceMesh
        """Lightning's mesh, of the axes `data_parallel` and `tensor_parallel`."""
        self.plan_mesh: DeviceMesh
        """The same ranks, with the plan's axes."""
        self._outside_grads: list[OutsideGrads] = []
        """Of each module whose part is split."""

    def setup_mesh(self, module: nn.Module | None, sizes: WorldSizes, device: torch.device) -> DeviceMesh:
        """Read the plan on all ranks, and make its mesh. From here on the ranks of a tensor group draw
        the same random numbers.

        Args:
            module: with `plan="auto"`, the module whose plan it is.
            sizes: the processes, and the sizes that the user gave.
            device: of this rank.

        Returns:
            Lightning's mesh of two axes.

        Raises:
            PlanAbort: there is no plan, or it does not fit the processes.
        """
        document, options = read_plan_on_all_ranks(self.arguments, module), self.arguments.options
        self.axes = run_on_all_ranks(lambda: resolve_axes(document, options, sizes))
        self.document, self.device = document, device
        self.mesh, self.plan_mesh = make_meshes(device.type, self.axes)
        sync_rng(self.mesh["tensor_parallel"].get_group())
        return self.mesh

    def apply_plan(
        self, module: nn.Module, precision: str, rebuild: Callable[[], nn.Module] | None = None
    ) -> AppliedPlan:
        """Prove the plan on a module, and apply it. A module that is split by this plan already stays as it is.

        Args:
            precision: the Trainer's or Fabric's, as `bf16-mixed`.
            rebuild: makes an unsplit copy of the module, which gives a module on the meta device its weights;
                by default the `reset_parameters` of its modules do.

        Raises:
            PlanAbort: the plan is not proved, or does not fit; the module is as it was.
        """
        run_on_all_ranks(lambda: _reject_fsdp1(module))
        applied = run_on_all_ranks(lambda: self._already_applied(module))
        if applied is not None:
            return applied
        prepared = run_on_all_ranks(lambda: self._prove(module, precision))
        run_on_all_ranks(lambda: _sync_initial_params(module, self.arguments.sync))
        rebuild_target = run_on_all_ranks(lambda: self._rebuild_target(module, rebuild))
        applied = apply_to_module(module, self.arguments, self.document, prepared, self.axes, self.plan_mesh)
        rank_zero_info(f"planc: {verdict_line(prepared.result)}")
        for accepted in prepared.result.accepted:
            rank_zero_warn(f"planc: {accepted.summary}")
        self._materialize(module, rebuild_target)
        self._move_to_device(module, applied)
        group = self.mesh["tensor_parallel"].get_group()
        self._outside_grads.append(OutsideGrads(module, self.arguments.target or "", group))
        return applied

    def check_outside_grads(self) -> None:
        """After a step of an optimizer: check the gradients of trained parameters that the plan does not cover.

        Raises:
            PlanAbort: the ranks of a tensor group have different ones.
        """
        for error in filter(None, [grads.check() for grads in self._outside_grads]):
            run_on_all_ranks(partial(_raise_not_applicable, error), "the step was made")

    def checkpoint_metadata(self) -> dict[str, Any]:
        """What a checkpoint keeps of the plan: its text, the digest and the sizes of the mesh."""
        text = self.document.source.text
        return {"plan": text, "digest": plan_digest(self.document), "mesh": dict(self.axes.sizes)}

    def _already_applied(self, module: nn.Module) -> AppliedPlan | None:
        applied = applied_plan_of(target_module(module, self.arguments.target))
        if applied is None:
            return None
        if (applied.digest, applied.axes) != (plan_digest(self.document), self.axes):
            raise NotApplicable((), ("the model is split already, by another plan or over another mesh",))
        return applied

    def _prove(self, module: nn.Module, precision: str) -> PreparedPlan:
        prepared = prove_on_module(module, self.arguments, self.document, self.axes)
        reasons = list(precision_conflicts(prepared.lowered.fsdp, precision))
        data_ranks = self.axes.device_count(self.axes.data_axes)
        uncovered = uncovered_params_error(module, self.arguments.target or "", data_ranks)
        reasons += [uncovered] if uncovered else []
        if reasons:
            raise NotApplicable((), tuple(reasons))
        if needs_loss_scaling(prepared.lowered.fsdp) and precision != "16-mixed":
            rank_zero_warn(
                "planc: the plan reduces gradients in fp16, and nothing scales the loss: small gradients "
                "become zero"
            )
        return prepared

    def _rebuild_target(
        self, module: nn.Module, rebuild: Callable[[], nn.Module] | None
    ) -> Callable[[], nn.Module] | None:
        """What makes the unsplit target anew; None: a model of transformers, which its class makes."""
        name = self.arguments.target
        target = target_module(module, name)
        if hasattr(target, "config") and hasattr(target, "base_model_prefix"):
            return None
        if rebuild is None:
            return rebuild_via_reset_parameters(target)
        return lambda: target_module(rebuild(), name)

    def _materialize(self, module: nn.Module, rebuild: Callable[[], nn.Module] | None) -> None:
        """Give what is on the meta device memory, and the weights that the unsplit model has for the same seed."""
        target = target_module(module, self.arguments.target)
        if any(tensor.is_meta for tensor in _tensors(target)):
            applied = applied_plan_of(target)
            device = torch.device("cpu") if applied and applied.offloads else self.device
            seed = _shared_seed()
            _materialize_example(module, device)
            run_on_all_ranks(
                lambda: materialize_model(target, device, seed, None, rebuild),
                "the model is split, and has no weights",
            )
        compat.materialize_module(module, self.device)

    def _move_to_device(self, module: nn.Module, applied: AppliedPlan) -> None:
        """Move everything to this rank's device, except shards that are offloaded to the CPU."""
        if not applied.offloads:
            module.to(self.device)
            return
        offloaded = frozenset(map(id, target_module(module, self.arguments.target).parameters()))
        for tensor in _tensors(module):
            if id(tensor) not in offloaded:
                tensor.data = tensor.data.to(self.device)


def _raise_not_applicable(reason: str) -> None:
    raise NotApplicable((), (reason,))


def _materialize_example(module: nn.Module, device: torch.device) -> None:
    """Replace `example_input_array` by zeros where a LightningModule made it on the meta device: only its shape
    matters."""
    example = getattr(module, "example_input_array", None)
    if isinstance(example, torch.Tensor) and example.is_meta:
        module.example_input_array = torch.zeros_like(example, device=device)


def _reject_fsdp1(module: nn.Module) -> None:
    """Reject modules that FSDP1 wraps: it hides the parameters that a plan names."""
    names = [name for name, part in module.named_modules() if isinstance(part, FullyShardedDataParallel)]
    if names:
        shown = f"'{names[0]}'" if names[0] else "the model"
        why = f"{shown} is wrapped by FSDP1 (FullyShardedDataParallel): needed: the model without it; the plan's fsdp blocks shard by FSDP2"
        raise NotApplicable((), (why,))


def _sync_initial_params(module: nn.Module, sync: Sync | None) -> None:
    """Compare the parameters and buffers of all ranks. By default rank 0's are copied: each rank has drawn its own."""
    try:
        if sync is not None:
            sync_params(module, broadcast=sync == "broadcast")
    except ValueError as error:
        raise NotApplicable((), (str(error),)) from None


def _tensors(module: nn.Module) -> Iterator[torch.Tensor]:
    return chain(module.parameters(), module.buffers())


def _shared_seed() -> int:
    """One seed for all ranks: that of `seed_everything`, else rank 0's."""
    given = os.environ.get("PL_GLOBAL_SEED")
    seed = [int(given) if given else torch.initial_seed() % 2**63]
    if dist.is_initialized():
        dist.broadcast_object_list(seed, 0)
    return seed[0]
