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
from planc.lightning.mesh import Axes, World, axes_of, meshes
from planc.lightning.planned import Applied, applied_to, prove, put, target_of
from planc.lightning.request import Request, digest, document_for
from planc.lightning.reset import by_reset
from planc.lightning.together import together
from planc.torch.apply.parallelize import NotApplicable, Prepared
from planc.torch.train.chance import agree
from planc.torch.train.outside import outside_fault
from planc.torch.train.precision import contradictions, needs_scaling
from planc.torch.train.same import make_same
from planc.torch.weights.materialize import materialize


class Run:
    """A plan that a strategy runs: what is known of it grows from the environment to the model."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.device = torch.device("cpu")
        self.document: Document
        self.axes: Axes
        self.mesh: DeviceMesh
        """Lightning's two axes."""
        self.own: DeviceMesh
        """The plan's axes."""

    def begin(self, module: nn.Module | None, world: World, device: torch.device) -> DeviceMesh:
        """Read the plan on all ranks, and make its mesh. From here on the ranks of a tensor group draw
        the same random numbers. Returns the mesh of Lightning's two axes.

        Raises:
            PlanStop: there is no plan, or it does not fit the processes.
        """
        document, options = document_for(self.request, module), self.request.options
        self.axes = together(lambda: axes_of(document, options, world))
        self.document, self.device = document, device
        self.mesh, self.own = meshes(device.type, self.axes)
        agree(self.mesh["tensor_parallel"].get_group())
        return self.mesh

    def split(
        self, module: nn.Module, precision: str, build: Callable[[], nn.Module] | None = None
    ) -> Applied:
        """Prove the plan on a module, and apply it. A module that it was applied to is left as it is.

        Args:
            precision: what the Trainer says, as `bf16-mixed`.
            build: makes the module anew, unsplit, for numbers where it is on the meta device; by default
                as its parts' `reset_parameters` do.

        Raises:
            PlanStop: the plan is not proved, or does not fit; the module is as it was.
        """
        together(lambda: _no_fsdp1(module))
        done = together(lambda: self._earlier(module))
        if done is not None:
            return done
        made = together(lambda: self._proved(module, precision))
        together(lambda: _same(module))
        anew = together(lambda: self._anew(module, build))
        done = put(module, self.request, self.document, made, self.axes, self.own)
        self._give_numbers(module, anew)
        self._place(module, done)
        return done

    def says(self) -> dict[str, Any]:
        """What a checkpoint keeps of the plan."""
        text = self.document.source.text
        return {"plan": text, "digest": digest(self.document), "mesh": dict(self.axes.sizes)}

    def _earlier(self, module: nn.Module) -> Applied | None:
        done = applied_to(target_of(module, self.request.target))
        if done is not None and (done.digest, done.axes) != (digest(self.document), self.axes):
            raise NotApplicable((), ("the model is split already, by another plan or over another mesh",))
        return done

    def _proved(self, module: nn.Module, precision: str) -> Prepared:
        made = prove(module, self.request, self.document, self.axes)
        reasons = contradictions(made.lowered.fsdp, precision)
        data = self.axes.devices(self.axes.data)
        fault = outside_fault(module, self.request.target or "", data)
        reasons = (*reasons, fault) if fault else reasons
        if reasons:
            raise NotApplicable((), tuple(reasons))
        if needs_scaling(made.lowered.fsdp) and precision != "16-mixed":
            rank_zero_warn(
                "planc: the plan has gradients in fp16, and nothing scales the loss: small ones vanish"
            )
        return made

    def _anew(
        self, module: nn.Module, build: Callable[[], nn.Module] | None
    ) -> Callable[[], nn.Module] | None:
        """Makes what the plan is for, unsplit; None: its class does."""
        name = self.request.target
        target = target_of(module, name)
        if hasattr(target, "config") and hasattr(target, "base_model_prefix"):
            return None
        return by_reset(target) if build is None else lambda: target_of(build(), name)

    def _give_numbers(self, module: nn.Module, anew: Callable[[], nn.Module] | None) -> None:
        """Memory and numbers for what is on the meta device: those of the unsplit model and this seed."""
        target = target_of(module, self.request.target)
        if any(tensor.is_meta for tensor in _tensors(target)):
            offloads = applied_to(target)
            device = torch.device("cpu") if offloads and offloads.offloads else self.device
            seed = _seed()
            _example_has_memory(module, device)
            state = "the model is split, and has no numbers"
            together(lambda: materialize(target, device, seed, None, anew), state)
        _materialize_distributed_module(module, self.device)

    def _place(self, module: nn.Module, done: Applied) -> None:
        """Everything to the rank's device, but what rests on the CPU between uses."""
        if not done.offloads:
            module.to(self.device)
            return
        own = frozenset(map(id, target_of(module, self.request.target).parameters()))
        for tensor in _tensors(module):
            if id(tensor) not in own:
                tensor.data = tensor.data.to(self.device)


def _example_has_memory(module: nn.Module, device: torch.device) -> None:
    """A LightningModule that is made on the meta device holds its example there, too, where it has
    no numbers that anybody could want."""
    example = getattr(module, "example_input_array", None)
    if isinstance(example, torch.Tensor) and example.is_meta:
        vars(module)["_example_input_array"] = torch.zeros_like(example, device=device)


def _no_fsdp1(module: nn.Module) -> None:
    """Refuse what the older FSDP has wrapped: it hides the parameters that a plan names."""
    names = [name for name, part in module.named_modules() if isinstance(part, FullyShardedDataParallel)]
    if names:
        shown = f"'{names[0]}'" if names[0] else "the model"
        why = f"{shown} is wrapped by FSDP1 (FullyShardedDataParallel): needed: the model without it; the plan's fsdp blocks shard by FSDP2"
        raise NotApplicable((), (why,))


def _same(module: nn.Module) -> None:
    """What rank 0 has, on all ranks: they have drawn their numbers each for itself."""
    try:
        make_same(module)
    except ValueError as bad:
        raise NotApplicable((), (str(bad),)) from None


def _tensors(module: nn.Module) -> Iterator[torch.Tensor]:
    return chain(module.parameters(), module.buffers())


def _seed() -> int:
    """One seed for all ranks: that of `seed_everything`, else rank 0's."""
    given = os.environ.get("PL_GLOBAL_SEED")
    seed = [int(given) if given else torch.initial_seed() % 2**63]
    if dist.is_initialized():
        dist.broadcast_object_list(seed, 0)
    return seed[0]


def again(module: nn.Module, method: str) -> Callable[[], nn.Module]:
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


def configured() -> None:
    """Stands in place of a `configure_model` that has run."""


def destroy() -> None:
    """End the process groups, at the end of the process: a model that is split can be asked and saved
    until then."""
    if dist.is_initialized():
        dist.destroy_process_group()
