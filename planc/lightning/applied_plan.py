"""A plan on its way into a model: proved on all ranks, applied, given memory and numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import register_fsdp_forward_method

from planc.graph.model_source import graph_for_plan
from planc.ir.diagnostic import ModelFault
from planc.ir.document import Document
from planc.ir.graph import ModelGraph
from planc.ir.lowered import Lowered
from planc.ir.record import Record
from planc.lightning.plan_arguments import PlanArguments, plan_digest
from planc.lightning.plan_mesh import PlanAxes
from planc.prepare_plan import NotApplicable, PreparedPlan, prepare_plan
from planc.torch.apply.apply_lowered import apply_lowered
from planc.torch.models.example_inputs import override_inputs, parse_input_options

_APPLIED_ATTRIBUTE = "_planc_applied"
STEP_METHODS = ("training_step", "validation_step", "test_step", "predict_step")
"""Methods of a LightningModule that run its forward code under another name."""


class AppliedPlan(Record):
    """What was done to a module."""

    digest: str
    """SHA-256 of the plan's text."""
    axes: PlanAxes
    lowered: Lowered

    @property
    def offloads(self) -> bool:
        """Whether shards rest on the CPU between uses."""
        return self.lowered.fsdp is not None and self.lowered.fsdp.settings.get("offload") == "cpu"


def applied_plan_of(module: nn.Module) -> AppliedPlan | None:
    """What an earlier run has done to this module."""
    found: AppliedPlan | None = vars(module).get(_APPLIED_ATTRIBUTE)
    return found


def target_module(module: nn.Module, name: str | None) -> nn.Module:
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


def prove_on_module(
    module: nn.Module, arguments: PlanArguments, document: Document, axes: PlanAxes
) -> PreparedPlan:
    """Prove the plan on the module, or on what `plan_target` names. Nothing is changed.

    Raises:
        NotApplicable, ModelFault: as `planc.prepare_plan.prepare_plan` does; where the plan is
            right for a submodule, that is said.
    """
    target = target_module(module, arguments.target)
    try:
        return _prepare(target, arguments, document, axes, _example_inputs(module, target, arguments))
    except NotApplicable as bad:
        fitting = [] if arguments.target else _fitting_children(module, arguments, document, axes)
        help_ = tuple(f"help: the plan is right for '{name}': plan_target='{name}'" for name in fitting)
        raise NotApplicable(bad.diagnostics, (*bad.reasons, *help_)) from None


def apply_to_module(
    module: nn.Module,
    arguments: PlanArguments,
    document: Document,
    prepared: PreparedPlan,
    axes: PlanAxes,
    mesh: DeviceMesh,
) -> AppliedPlan:
    """Apply a proved plan, and remember that it was done."""
    target = target_module(module, arguments.target)
    apply_lowered(target, prepared.lowered, mesh)
    done = AppliedPlan(plan_digest(document), axes, prepared.lowered)
    vars(target)[_APPLIED_ATTRIBUTE] = done
    if target is module:
        for step in STEP_METHODS:
            if hasattr(module, step):
                register_fsdp_forward_method(module, step)
    return done


def _prepare(
    target: nn.Module, arguments: PlanArguments, document: Document, axes: PlanAxes, inputs: Any
) -> PreparedPlan:
    graph = arguments.graph
    if graph is not None and not isinstance(graph, ModelGraph):
        graph = graph_for_plan(document, os.fspath(graph))
    try:
        return prepare_plan(
            target, document, axes.sizes, graph=graph, inputs=inputs, options=arguments.options
        )
    except ValueError as bad:
        # The arguments have other names here.
        why = str(bad).replace(" inputs=", " plan_inputs=").replace(" graph=", " plan_graph=")
        raise NotApplicable((), (why,)) from None


def _fitting_children(
    module: nn.Module, arguments: PlanArguments, document: Document, axes: PlanAxes
) -> list[str]:
    """Children that the plan is proved for."""
    found = []
    for name, child in module.named_children():
        try:
            _prepare(child, arguments, document, axes, _example_inputs(module, child, arguments))
            found.append(name)
        except (NotApplicable, ModelFault):
            pass  # it is only asked whether this could be meant
    return found


def _example_inputs(module: nn.Module, target: nn.Module, arguments: PlanArguments) -> Any:
    """What the target is called with, where somebody says it: tensors, or their text form."""
    given: Any = arguments.inputs
    if given is None and target is module:
        given = getattr(module, "example_input_array", None)
        given = (given,) if isinstance(given, Tensor) else given
    if isinstance(given, Sequence) and given and all(isinstance(one, str) for one in given):
        places, named = override_inputs(target, (), {}, parse_input_options(list(given)))
        return named if named and not places else (*places, *named.values())
    return given
