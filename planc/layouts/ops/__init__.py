"""The rules: one for each kind of operation, in the file of its family.

A rule takes an `Operation` and gives the type of its result, or a tuple of types where
there are several. It raises `Refused` where the operation on each rank's share is not a
share of the operation on the whole, and `NotKnown` where it cannot tell. Operands of type
UNKNOWN never reach it; numbers that differ between a rank and the whole (`Differs`) do so
only where it is marked `sizes=True`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

from planc.ir.record import Record
from planc.layouts.operation import NotKnown, Operand, Operation
from planc.layouts.types import CONSTANT, WHOLE, Type

Judge = Callable[[Operation], Type | tuple[Type, ...]]


class Rule(Record):
    """How the types of results follow from those of operands."""

    judge: Judge
    sizes: bool
    """Whether it understands numbers that differ between ranks and the whole."""


RULES: dict[str, Rule] = {}
"""By the name of the torch function."""

FAMILIES = (
    "pointwise", "selection", "casts", "activations", "products", "convolution", "pooling", "norms", "reductions",
    "embedding", "attention", "losses", "indexed",
    "views", "permutations", "stretching", "pieces", "shifts", "joins", "getitem", "creation", "draws",
)  # fmt: skip
"""The files of this folder."""


def rule(*names: str, sizes: bool = False) -> Callable[[Judge], Judge]:
    """Make a function the rule of the torch functions with these names."""

    def add(judge: Judge) -> Judge:
        for name in names:
            if name in RULES:
                raise ValueError(f"{name} has two rules")
            RULES[name] = Rule(_settled(judge), sizes)
        return judge

    return add


def _settled(judge: Judge) -> Judge:
    """Where no gradient flows, a whole value is a constant, among operands and results."""

    @wraps(judge)
    def settle(operation: Operation) -> Type | tuple[Type, ...]:
        flows = any(result.grad for result in operation.results)
        if any(
            o.type in WHOLE and o.type is not CONSTANT and not (flows and o.grad)
            for o in operation.operands()
        ):
            operation = Operation(
                operation.name,
                _constant(operation.arguments, flows),
                {name: _constant(value, flows) for name, value in operation.keywords.items()},
                operation.results,
                operation.ranks,
                operation.style,
            )
        kinds = judge(operation)
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        if len(kinds) != len(operation.results):
            raise NotKnown(
                f"{operation.name} gave {len(operation.results)} tensors, its rule knows {len(kinds)}"
            )
        for kind, result in zip(kinds, operation.results, strict=True):
            if kind is CONSTANT and result.grad:
                raise NotKnown(
                    f"a gradient flows to what {operation.name} gives, but to none of its operands"
                )
        settled = [
            k if r.grad or k not in WHOLE else CONSTANT for k, r in zip(kinds, operation.results, strict=True)
        ]
        return settled[0] if len(settled) == 1 else tuple(settled)

    return settle


def _constant(item: Any, flows: bool) -> Any:
    if isinstance(item, Operand):
        if item.type in WHOLE and not (flows and item.grad):
            return Operand(CONSTANT, item.shape, item.grad, item.dtype, item.origin)
        return item
    return tuple(_constant(part, flows) for part in item) if isinstance(item, tuple) else item


def load() -> dict[str, Rule]:
    """All rules."""
    for family in FAMILIES:
        import_module(f"planc.layouts.ops.{family}")
    return RULES
