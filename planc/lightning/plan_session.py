"""What both strategies do with a plan: read it, make its mesh, prove it, split the model."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric.utilities.init import _materialize_distributed_module
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FullyShardedDataParallel

from planc.ir.document import Document
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
from planc.torch.train.precision_conflicts import needs_loss_scaling, precision_conflicts
from planc.torch.train.sync_params import sync_params
from planc.torch.train.sync_rng import sync_rng
from planc.torch.train.uncovered_params import uncovered_params_error
from planc.torch.weights.materialize import materialize_model


class PlanSession:
    """A plan that a strategy runs: what is known of it grows from the environment to the model."""

    def __init__(self, arguments: PlanArguments) -> None:
        self.arguments = arguments
        self.device = torch.device("cpu")
        self.document: Document
        self.axes: PlanAxes
        self.mesh: DeviceMesh
        """Lightning's two axes."""
        self.plan_mesh: DeviceMesh
        """The plan's axes."""

    def setup_mesh(self, module: nn.Module | None, sizes: WorldSizes, device: torch.device) -> DeviceMesh:
        """Read the plan on all ranks, and make its mesh. From here on the ranks of a tensor group draw
        the same random numbers. Returns the mesh of Lightning's two axes.

        Raises:
            PlanStop: there is no plan, or it does not fit the processes.
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
        """Prove the plan on a module, and apply it. A module that it was applied to is left as it is.

        Args:
            precision: what the Trainer says, as `bf16-mixed`.
            build: makes the module anew, unsplit, for numbers where it is on the meta device; by default
                as its parts' `reset_parameters` do.

        Raises:
            PlanStop: the plan is not proved, or does not fit; the module is as it was.
        """
        run_on_all_ranks(lambda: _reject_fsdp1(module))
        done = run_on_all_ranks(lambda: self._already_applied(module))
        if done is not None:
            return done
        made = run_on_all_ranks(lambda: self._prove(module, precision))
        run_on_all_ranks(lambda: _sync_initial_params(module))
        anew = run_on_all_ranks(lambda: self._rebuild_function(module, rebuild))
        done = apply_to_module(module, self.arguments, self.document, made, self.axes, self.plan_mesh)
        self._materialize(module, anew)
        self._move_to_device(module, done)
        return done

    def checkpoint_metadata(self) -> dict[str, Any]:
        """What a checkpoint keeps of the plan."""
        text = self.document.source.text
        return {"plan": text, "digest": plan_digest(self.document), "mesh": dict(self.axes.sizes)}

    def _already_applied(self, module: nn.Module) -> AppliedPlan | None:
        done = applied_plan_of(target_module(module, self.arguments.target))
        if done is not None and (done.digest, done.axes) != (plan_digest(self.document), self.axes):
            raise NotApplicable((), ("the model is split already, by another plan or over another mesh",))
        return done

    def _prove(self, module: nn.Module, precision: str) -> PreparedPlan:
        made = prove_on_module(module, self.arguments, self.document, self.axes)
        reasons = precision_conflicts(made.lowered.fsdp, precision)
        data = self.axes.device_count(self.axes.data_axes)
        fault = uncovered_params_error(module, self.arguments.target or "", data)
        reasons = (*reasons, fault) if fault else reasons
        if reasons:
            raise NotApplicable((), tuple(reasons))
        if needs_loss_scaling(made.lowered.fsdp) and precision != "16-mixed":
            rank_zero_warn(
                "planc: the plan has gradients in fp16, and nothing scales the loss: small ones vanish"
            )
        return made

    def _rebuild_function(
        self, module: nn.Module, rebuild: Callable[[], nn.Module] | None
    ) -> Callable[[], nn.Module] | None:
        """Makes what the plan is for, unsplit; None: its class does."""
        name = self.arguments.target
        target = target_module(module, name)
        if hasattr(target, "config") and hasattr(target, "base_model_prefix"):
            return None
        return (
            rebuild_via_reset_parameters(target)
            if rebuild is None
            else lambda: target_module(rebuild(), name)
        )

    def _materialize(self, module: nn.Module, rebuild: Callable[[], nn.Module] | None) -> None:
        """Memory and numbers for what is on the meta device: those of the unsplit model and this seed."""
        target = target_module(module, self.arguments.target)
        if any(tensor.is_meta for tensor in _tensors(target)):
            offloads = applied_plan_of(target)
            device = torch.device("cpu") if offloads and offloads.offloads else self.device
            seed = _shared_seed()
            _materialize_example(module, device)
            state = "the model is split, and has no numbers"
            run_on_all_ranks(lambda: materialize_model(target, device, seed, None, rebuild), state)
        _materialize_distributed_module(module, self.device)

    def _move_to_device(self, module: nn.Module, done: AppliedPlan) -> None:
        """Everything to the rank's device, but what rests on the CPU between uses."""
        if not done.offloads:
            module.to(self.device)
            return
        own = frozenset(map(id, target_module(module, self.arguments.target).parameters()))
        for tensor in _tensors(module):
            if id(tensor) not in own:
                tensor.data = tensor.data.to(self.device)


def _materialize_example(module: nn.Module, device: torch.device) -> None:
    """A LightningModule that is made on the meta device holds its example there, too, where it has
    no numbers that anybody could want."""
    example = getattr(module, "example_input_array", None)
    if isinstance(example, torch.Tensor) and example.is_meta:
        vars(module)["_example_input_array"] = torch.zeros_like(example, device=device)


def _reject_fsdp1(module: nn.Module) -> None:
    """Refuse what the older FSDP has wrapped: it hides the parameters that a plan names."""
    names = [name for name, part in module.named_modules() if isinstance(part, FullyShardedDataParallel)]
    if names:
        shown = f"'{names[0]}'" if names[0] else "the model"
        why = f"{shown} is wrapped by FSDP1 (FullyShardedDataParallel): needed: the model without it; the plan's fsdp blocks shard by FSDP2"
        raise NotApplicable((), (why,))


def _sync_initial_params(module: nn.Module) -> None:
    """What rank 0 has, on all ranks: they have drawn their numbers each for itself."""
    try:
        sync_params(module)
    except ValueError as bad:
        raise NotApplicable((), (str(bad),)) from None


def _tensors(module: nn.Module) -> Iterator[torch.Tensor]:
    return chain(module.parameters(), module.buffers())


def _shared_seed() -> int:
    """One seed for all ranks: that of `seed_everything`, else rank 0's."""
    given = os.environ.get("PL_GLOBAL_SEED")
    seed = [int(given) if given else torch.initial_seed() % 2**63]
    if dist.is_initialized():
        dist.broadcast_object_list(seed, 0)
    return seed[0]


def rebuild_via(module: nn.Module, method: str) -> Callable[[], nn.Module]:
    """Makes a module anew from what it is now, by a method that fills it: call this before the
    method runs."""
    bare = copy.copy(module)
    for held in ("_parameters", "_buffers", "_modules"):
        vars(bare)[held] = dict(vars(module)[held])

    def build() -> nn.Module:
        made = copy.copy(bare)
        for held in ("_parameters", "_buffers", "_modules"):
            vars(made)[held] = dict(vars(bare)[held])
        getattr(made, method)()
        return made

    return build


def skip_configure_model() -> None:
    """Stands in place of a `configure_model` that has run."""


def destroy_process_groups() -> None:
    """End the process groups, at the end of the process: a model that is split can be asked and saved
    until then."""
    if dist.is_initialized():
        dist.destroy_process_group()
