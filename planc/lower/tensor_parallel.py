"""Instructions for the modules of a model on an axis whose ranks share dims of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from planc.bind.binding import Binding
from planc.ir.lowered import Lowered, LoweredAxis, LoweredModule
from planc.lower.boundary_changes import boundary_changes, mark_written, reject_changed_parameters
from planc.lower.lowering_error import LoweringError
from planc.lower.module_params import (
    local_attributes,
    lowered_buffers,
    lowered_params,
    params_with_summed_gradient,
)
from planc.lower.overlapped_gathers import WrappedModules, overlapped_gathers
from planc.lower.written_inputs import written_inputs
from planc.proof.compiled_sizes import compiled_size_reads
from planc.proof.model_outputs import find_logits
from planc.proof.param_types import ParamTypes
from planc.proof.result import Analysis, AxisProof, Proof
from planc.proof.size_views import SizeViews


def lower_tensor(binding: Binding, proof: Proof, number: int, lowered: Lowered) -> Lowered:
    """Add the instructions of a block whose ranks share dims of tensors: a `BlockKind.lowering`.

    Raises:
        LoweringError: no instructions do what the block says.
    """
    block = binding.resolved.blocks[number]
    wrapped = WrappedModules(
        frozenset(name for region in lowered.recompute for name in region.modules),
        frozenset(name for region in lowered.compile for name in region.modules),
        frozenset(name for unit in (lowered.fsdp.units if lowered.fsdp else ()) for name in unit.modules),
    )
    axes = [axis for axis in proof.axes if axis.block.value is block]
    added = [_lower_axis(binding, axis, number, wrapped) for axis in axes]
    return lowered.with_(tensor=(*lowered.tensor, *added))


def _lower_axis(binding: Binding, proof: AxisProof, number: int, wrapped: WrappedModules) -> LoweredAxis:
    block = binding.resolved.blocks[number]
    modules = _lower_modules(binding, proof, ParamTypes(binding, number, proof.ranks))
    for reason in compiled_size_reads(binding, number, proof):
        raise LoweringError(reason)
    settings = {setting.value.name: setting.value.value for setting in block.settings}
    overlaps = overlapped_gathers(binding.graph, modules, wrapped) if settings.get("overlap") is True else {}
    uncalled = uncalled_modules(binding, number, proof)
    if block.loss is None:
        return LoweredAxis(proof.axis, modules, None, overlapped_gathers=overlaps, uncalled=uncalled)
    logits = find_logits(binding.graph.main_function)
    if logits is None and block.splits_logits:
        raise LoweringError("it is not clear which of the model's results the loss is computed from")
    path = () if logits is None else logits[0]
    return LoweredAxis(proof.axis, modules, block.loss.value.style, path, overlaps, uncalled)


def uncalled_modules(binding: Binding, number: int, proof: AxisProof) -> Mapping[str, bool]:
    """The modules with parameters or a rule that the captured call does not use, and whether a rule of a block names
    them."""
    called = {name for name, _ in proof.analysis.walk()}
    return {
        name: binding.entry_for(bound, number) is not None
        for name, bound in binding.root.named_modules()
        if name not in called and (bound.module.parameters or binding.entry_for(bound, number) is not None)
    }


def _lower_modules(binding: Binding, proof: AxisProof, types: ParamTypes) -> Mapping[str, LoweredModule]:
    """The instructions of each module that has any, by its name."""
    calls = list(proof.analysis.walk())
    changes = mark_written(boundary_changes(calls), written_inputs(binding.graph))
    reject_changed_parameters(binding, changes)
    summed = params_with_summed_gradient(binding, calls)
    draws = per_rank_rng_calls(calls)
    foreign, whole = SizeViews(binding, types.block, proof.local_sizes).params_of_descendants()
    modules = {
        name: LoweredModule(
            inputs=changes.get((name, True), ()),
            outputs=changes.get((name, False), ()),
            parameters=lowered_params(name, bound, types, summed),
            buffers=lowered_buffers(bound, types),
            attributes=local_attributes(bound, types),
            masked_lookup=types.masks_lookup(bound),
            row_attributes=types.row_attributes(bound)[0],
            descendant_params=foreign.get(name, ()),
            whole_params=whole.get(name, ()),
            per_rank_rng=draws.get(name, ()),
        )
        for name, bound in binding.root.named_modules()
    }
    return {name: module for name, module in modules.items() if module != LoweredModule()}


def per_rank_rng_calls(calls: Iterable[tuple[str, Analysis]]) -> Mapping[str, tuple[bool, ...]]:
    """For each call of a module that draws random numbers, whether ranks draw different ones.

    Empty where no module draws different ones. A module that draws the same numbers on all ranks has a
    place here: one that draws different ones may call it.

    Raises:
        LoweringError: one call draws both kinds.
    """
    found: dict[str, list[bool]] = {}
    drawing: set[str] = set()
    for module, call in calls:
        if len(call.rng_uses) > 1:
            raise LoweringError(
                f"{module or 'the model'} draws random numbers both for replicated and for sharded values"
            )
        if call.rng_uses:
            drawing.add(module)
        found.setdefault(module, []).append("per rank" in call.rng_uses)
    if not any(map(any, found.values())):
        return {}
    return {module: tuple(differs) for module, differs in found.items() if module in drawing}
