"""One plan lowered for two captures of a model, as in training and in eval mode: instructions that serve both."""

from __future__ import annotations

from collections.abc import Mapping

from planc.ir.lowered import Lowered, LoweredAxis, LoweredChange, LoweredModule
from planc.lower.lowering_error import LoweringError

_UNCHANGED = LoweredModule()
_Forward = Mapping[object, tuple[object, ...]]


def merge_lowered(main: Lowered, other: Lowered) -> Lowered:
    """The instructions for one call of a model, made to serve another call of it too.

    Raises:
        LoweringError: the two calls need different instructions.
    """
    axes = {axis.axis: axis for axis in other.tensor}
    tensor = tuple(_merge_axis(axis, axes[axis.axis]) for axis in main.tensor)
    results = [each for each in (main.results, other.results) if each is not None]
    return main.with_(tensor=tensor, results=max(results, key=len) if results else None)


def _merge_axis(main: LoweredAxis, other: LoweredAxis) -> LoweredAxis:
    if main.logits_path != other.logits_path:
        raise LoweringError("the logits are in another place of the model's result")
    names = dict.fromkeys((*main.modules, *other.modules))
    modules = {name: _merge_module(name, main, other) for name in names}
    uncalled = {name: rule for name, rule in main.uncalled.items() if name in other.uncalled}
    return main.with_(modules=modules, uncalled=uncalled)


def _merge_module(name: str, main: LoweredAxis, other: LoweredAxis) -> LoweredModule:
    one, two = main.modules.get(name, _UNCHANGED), other.modules.get(name, _UNCHANGED)
    if name in main.uncalled:
        return two.with_(per_rank_rng=one.per_rank_rng)
    if name in other.uncalled:
        return one
    if one.with_(**_CALLS) != two.with_(**_CALLS) or any(
        _forward(changes) != _forward(others)
        for changes, others in ((one.inputs, two.inputs), (one.outputs, two.outputs))
    ):
        raise LoweringError(f"'{name or 'root'}' needs other instructions")
    return one.with_(
        inputs=_with_ndims(one.inputs, two.inputs), outputs=_with_ndims(one.outputs, two.outputs)
    )


_CALLS: Mapping[str, tuple[object, ...]] = {
    "inputs": (),
    "outputs": (),
    "per_rank_rng": (),
    "descendant_params": (),
}
"""What may differ between two calls: boundaries are compared by what they do to values, and only training draws."""


def _forward(changes: tuple[LoweredChange, ...]) -> _Forward:
    """What a boundary does to values: all kinds of full tensors are the same."""
    full = ("invariant", "replicated", "constant")
    done: dict[object, tuple[object, ...]] = {}
    for change in changes:
        sides = [
            ("full", None) if each.kind in full else (each.kind, each.dim)
            for each in (change.before, change.after)
        ]
        if sides[0] != sides[1]:
            done[change.path] = tuple(sides)
    return done


def _with_ndims(
    changes: tuple[LoweredChange, ...], others: tuple[LoweredChange, ...]
) -> tuple[LoweredChange, ...]:
    ndims = {change.path: change.ndims for change in others}
    return tuple(
        change.with_(ndims=tuple(sorted({*change.ndims, *ndims.get(change.path, ())}))) for change in changes
    )
