"""What the boundary of each module does to the tensors that pass it, on one axis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from planc.bind.binding import Binding
from planc.ir.graph import Op
from planc.ir.lowered import LocalKind, LocalLayout, LoweredChange, TensorPath
from planc.lower.lowering_error import LoweringError
from planc.proof.boundary.ports import parameter_paths
from planc.proof.result import Analysis, BoundaryChange, join_module_path
from planc.proof.types import CONSTANT, INVARIANT, PARTIAL, REPLICATED, PackedShard, Sharded, SpmdType

Side = tuple[str, bool]
"""The name of a module, and whether its inputs are meant, or its outputs."""
BoundaryChanges = Mapping[Side, tuple[LoweredChange, ...]]

_KINDS: Mapping[SpmdType, LocalKind] = {
    INVARIANT: "invariant", REPLICATED: "replicated", CONSTANT: "constant", PARTIAL: "partial",
}  # fmt: skip


def boundary_changes(calls: Iterable[tuple[str, Analysis]]) -> BoundaryChanges:
    """The changes of layout at each side of each module; one instruction has to serve every call.

    Args:
        calls: the calls of the model, with the names of their modules.

    Raises:
        LoweringError: two calls of a module need different changes of the same tensor.
    """
    found: dict[Side, dict[TensorPath, LoweredChange]] = {}
    for caller, analysis in calls:
        for passed in analysis.boundary_changes:
            side = (join_module_path(caller, passed.module), passed.is_input)
            change = _lowered_change(passed)
            known = found.setdefault(side, {}).setdefault(passed.path, change)
            merged = _merge(change, known)
            if merged is None:
                raise LoweringError(
                    f"{side[0] or 'the model'} is called in two ways that differ at its boundary"
                )
            found[side][passed.path] = merged
    changes = {
        side: tuple(c for c in by_path.values() if c.before != c.after) for side, by_path in found.items()
    }
    return {side: changed for side, changed in changes.items() if changed}


def _lowered_change(passed: BoundaryChange) -> LoweredChange:
    ends = passed.from_last if passed.before is not passed.after else (any(passed.from_last),) * 2
    before, after = (
        _count_from_last(local_layout(type_), passed.ndim) if from_last else local_layout(type_)
        for type_, from_last in zip((passed.before, passed.after), ends, strict=True)
    )
    # A dim that counts from the last is the same one whatever stands before it.
    fixes_dim = any(layout.dim is not None and layout.dim >= 0 for layout in (before, after))
    return LoweredChange(passed.path, before, after, (passed.ndim,) if fixes_dim else ())


def _count_from_last(layout: LocalLayout, ndim: int) -> LocalLayout:
    return layout if layout.dim is None else LocalLayout(layout.kind, layout.dim - ndim)


def _merge(change: LoweredChange, known: LoweredChange) -> LoweredChange | None:
    """One instruction for two calls; None: there is none."""
    if (change.before, change.after) == (known.before, known.after):
        return known.with_(ndims=tuple(sorted({*known.ndims, *change.ndims})))
    return change if _serves(change, known) else known if _serves(known, change) else None


def mark_written(changes: BoundaryChanges, written: Mapping[str, AbstractSet[TensorPath]]) -> BoundaryChanges:
    """The changes, with a mark at the arguments that a module's code changes in place.

    Args:
        written: the paths of these arguments, by the names of modules.
    """
    return {
        (module, is_input): tuple(
            change.with_(written=True) if is_input and change.path in written.get(module, ()) else change
            for change in changed
        )
        for (module, is_input), changed in changes.items()
    }


def _serves(instruction: LoweredChange, needed: LoweredChange) -> bool:
    """Whether an instruction is right for a call that needs another one: an all-reduce of the gradient
    does nothing to a tensor without a gradient, and no change does nothing to any tensor."""
    if needed.before != needed.after:
        return False
    only_gradient = (instruction.before.kind, instruction.after.kind) == ("invariant", "replicated")
    return instruction.before == instruction.after or (only_gradient and needed.after.kind == "constant")


def local_layout(type_: SpmdType) -> LocalLayout:
    """The layout of a tensor as instructions say it: a packed shard is a shard of its dim.

    Raises:
        LoweringError: the proof does not know the type.
    """
    if isinstance(type_, Sharded | PackedShard):
        return LocalLayout("shard", type_.dim)
    if type_ not in _KINDS:
        raise LoweringError("the proof does not know the layout of a tensor at a boundary")
    return LocalLayout(_KINDS[type_])


def reject_changed_parameters(binding: Binding, changes: BoundaryChanges) -> None:
    """Refuse boundaries that would change a parameter.

    The proof changes no parameter at a boundary. Where one call of a module takes or returns a parameter
    in the place of another call's tensor, the module's boundary would change it.

    Raises:
        LoweringError: a boundary would.
    """
    changed = {(side, change.path) for side, changed in changes.items() for change in changed}

    def visit(number: int, module: str) -> None:
        function = binding.graph.functions[number]
        passed = [((module, False), path) for path in parameter_paths(function.result)]
        for step in function.steps:
            if not isinstance(step, Op):
                called = join_module_path(module, step.module)
                arguments = (*parameter_paths(step.arguments), *parameter_paths(step.keywords))
                passed += [((called, True), path) for path in arguments]
                visit(step.function, called)
        for side, path in passed:
            if (side, path) in changed:
                verb = "is handed" if side[1] else "returns"
                raise LoweringError(
                    f"{side[0] or 'the model'} {verb} a parameter in one call, and in another a tensor "
                    "that its boundary changes"
                )

    if changed:
        visit(len(binding.graph.functions) - 1, "")
