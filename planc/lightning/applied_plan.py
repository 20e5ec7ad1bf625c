"""A plan proved on a module of Lightning, applied to it, and remembered there."""

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
from planc.torch.apply.inputs_of_part import inputs_of_part
from planc.torch.apply.module_graph import MissingInputs
from planc.torch.checkpoints.save_pretrained import save_full_weights
from planc.torch.models.example_inputs import override_inputs, parse_input_options

_APPLIED_ATTRIBUTE = "_planc_applied"
STEP_METHODS = ("training_step", "validation_step", "test_step", "predict_step")
"""Methods of a LightningModule that run its forward pass, as `forward` does."""


class AppliedPlan(Record):
    """The plan that split a module."""

    digest: str
    """SHA-256 of the plan's text."""
    axes: PlanAxes
    lowered: Lowered

    @property
    def offloads(self) -> bool:
        """Whether FSDP2 keeps shards on the CPU between uses."""
        return self.lowered.fsdp is not None and self.lowered.fsdp.settings.get("offload") == "cpu"


def applied_plan_of(module: nn.Module) -> AppliedPlan | None:
    """The plan that an earlier run has applied to this module, or None."""
    applied: AppliedPlan | None = vars(module).get(_APPLIED_ATTRIBUTE)
    return applied


def target_module(module: nn.Module, name: str | None) -> nn.Module:
    """The submodule of a name, which the plan is for; None: the module itself.

    Raises:
        NotApplicable: the module has no such submodule.
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
    """Prove the plan on the module, or on the submodule that `plan_target` names. Nothing is changed.

    Raises:
        NotApplicable: the plan is not proved, or does not fit; where it is proved for a child, the reasons
            suggest that as `plan_target`.
        ModelFault: planc cannot capture the module.
    """
    target = target_module(module, arguments.target)
    try:
        return _prepare(target, arguments, document, axes, _example_inputs(module, target, arguments))
    except NotApplicable as error:
        fitting = [] if arguments.target else _fitting_children(module, arguments, document, axes)
        help_ = tuple(f"help: planc proves the plan for '{name}': plan_target='{name}'" for name in fitting)
        raise NotApplicable(error.diagnostics, (*error.reasons, *help_)) from None


def apply_to_module(
    module: nn.Module,
    arguments: PlanArguments,
    document: Document,
    prepared: PreparedPlan,
    axes: PlanAxes,
    mesh: DeviceMesh,
) -> AppliedPlan:
    """Apply a proved plan, and remember it on the module."""
    target = target_module(module, arguments.target)
    apply_lowered(target, prepared.lowered, mesh)
    save_full_weights(target)
    applied = AppliedPlan(plan_digest(document), axes, prepared.lowered)
    vars(target)[_APPLIED_ATTRIBUTE] = applied
    if target is module:
        for step in STEP_METHODS:
            if hasattr(module, step):
                register_fsdp_forward_method(module, step)
    return applied


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
    except MissingInputs:
        raise NotApplicable((), (str(MissingInputs("plan_inputs", "plan_graph")),)) from None
    except ValueError as error:
        raise NotApplicable((), (str(error),)) from None


def _fitting_children(
    module: nn.Module, arguments: PlanArguments, document: Document, axes: PlanAxes
) -> list[str]:
    """Children that planc proves the plan for."""
    fitting = []
    for name, child in module.named_children():
        try:
            _prepare(child, arguments, document, axes, _example_inputs(module, child, arguments))
            fitting.append(name)
        except (NotApplicable, ModelFault):
            pass  # the plan is for another module
    return fitting


def _example_inputs(module: nn.Module, target: nn.Module, arguments: PlanArguments) -> Any:
    """The example inputs of the target, where they are given: tensors by position, or by name."""
    inputs: Any = arguments.inputs
    if inputs is None and getattr(module, "example_input_array", None) is not None:
        inputs = module.example_input_array
        if target is not module:
            name = next(name for name, part in module.named_modules() if part is target)
            return inputs_of_part(module, name, inputs)
        inputs = (inputs,) if isinstance(inputs, Tensor) else inputs
    if isinstance(inputs, Sequence) and inputs and all(isinstance(text, str) for text in inputs):
        args, kwargs = override_inputs(target, (), {}, parse_input_options(list(inputs)))
        return kwargs if kwargs and not args else (*args, *kwargs.values())
    return inputs
