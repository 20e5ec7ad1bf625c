"""A plan on its way into a model: proved on all ranks, applied, given memory and numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import register_fsdp_forward_method

from planc.graphs.chosen import graph_for
from planc.ir.diagnostic import ModelFault
from planc.ir.document import Document
from planc.ir.graph import ModelGraph
from planc.ir.lowered import Lowered
from planc.ir.record import Record
from planc.lightning.mesh import Axes
from planc.lightning.request import Request, digest
from planc.torch.apply.parallelize import NotApplicable, Prepared, apply, prepare
from planc.torch.inputs import read_inputs, with_inputs

_MARK = "_planc_applied"
STEPS = ("training_step", "validation_step", "test_step", "predict_step")
"""Methods of a LightningModule that run its forward code under another name."""


class Applied(Record):
    """What was done to a module."""

    digest: str
    """SHA-256 of the plan's text."""
    axes: Axes
    lowered: Lowered

    @property
    def offloads(self) -> bool:
        """Whether shards rest on the CPU between uses."""
        return self.lowered.fsdp is not None and self.lowered.fsdp.settings.get("offload") == "cpu"


def applied_to(module: nn.Module) -> Applied | None:
    """What an earlier run has done to this module."""
    found: Applied | None = vars(module).get(_MARK)
    return found


def target_of(module: nn.Module, name: str | None) -> nn.Module:
    """The module that a plan is for.

    Raises:
        NotApplicable: there is none of that name.
    """
    try:
        return module.get_submodule(name or "")
    except AttributeError:
        has = ", ".join(own for own, _ in module.named_children()) or "none"
        why = f"plan_target='{name}': {type(module).__name__} has no such submodule; it has {has}"
        raise NotApplicable((), (why,)) from None


def prove(module: nn.Module, request: Request, document: Document, axes: Axes) -> Prepared:
    """Prove the plan on the module, or on what `plan_target` names. Nothing is changed.

    Raises:
        NotApplicable, ModelFault: as `planc.torch.apply.parallelize.prepare` does; where the plan is
            right for a submodule, that is said.
    """
    target = target_of(module, request.target)
    try:
        return _prepare(target, request, document, axes, _example(module, target, request))
    except NotApplicable as bad:
        fitting = [] if request.target else _fitting(module, request, document, axes)
        help_ = tuple(f"help: the plan is right for '{name}': plan_target='{name}'" for name in fitting)
        raise NotApplicable(bad.diagnostics, (*bad.reasons, *help_)) from None


def put(
    module: nn.Module, request: Request, document: Document, made: Prepared, axes: Axes, mesh: DeviceMesh
) -> Applied:
    """Apply a proved plan, and remember that it was done."""
    target = target_of(module, request.target)
    apply(target, made.lowered, mesh)
    done = Applied(digest(document), axes, made.lowered)
    vars(target)[_MARK] = done
    if target is module:
        for step in STEPS:
            if hasattr(module, step):
                register_fsdp_forward_method(module, step)
    return done


def _prepare(target: nn.Module, request: Request, document: Document, axes: Axes, inputs: Any) -> Prepared:
    graph = request.graph
    if graph is not None and not isinstance(graph, ModelGraph):
        graph = graph_for(document, os.fspath(graph))
    try:
        return prepare(target, document, axes.sizes, graph=graph, inputs=inputs, options=request.options)
    except ValueError as bad:
        # The arguments have other names here.
        why = str(bad).replace(" inputs=", " plan_inputs=").replace(" graph=", " plan_graph=")
        raise NotApplicable((), (why,)) from None


def _fitting(module: nn.Module, request: Request, document: Document, axes: Axes) -> list[str]:
    """Children that the plan is proved for."""
    found = []
    for name, child in module.named_children():
        try:
            _prepare(child, request, document, axes, _example(module, child, request))
            found.append(name)
        except (NotApplicable, ModelFault):
            pass  # it is only asked whether this could be meant
    return found


def _example(module: nn.Module, target: nn.Module, request: Request) -> Any:
    """What the target is called with, where somebody says it: tensors, or their text form."""
    given: Any = request.inputs
    if given is None and target is module:
        given = getattr(module, "example_input_array", None)
        given = (given,) if isinstance(given, Tensor) else given
    if isinstance(given, Sequence) and given and all(isinstance(one, str) for one in given):
        places, named = with_inputs(target, (), {}, read_inputs(list(given)))
        return named if named and not places else (*places, *named.values())
    return given
