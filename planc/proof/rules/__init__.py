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
from planc.proof.rules.operation import Operand, Operation, Unsupported
from planc.proof.types import CONSTANT, SAME_ON_ALL_RANKS, SpmdType

RuleFunction = Callable[[Operation], SpmdType | tuple[SpmdType, ...]]


class OpRule(Record):
    """How the types of results follow from those of operands."""

    infer: RuleFunction
    accepts_rank_dependent: bool
    """Whether it understands numbers that differ between ranks and the whole."""


OP_RULES: dict[str, OpRule] = {}
"""By the name of the torch function."""

RULE_MODULES = (
    "pointwise", "where", "casts", "activations", "matmul", "convolution", "pooling", "normalization", "reductions",
    "embedding", "attention", "losses", "gather_scatter",
    "views", "permutations", "expand", "splitting", "roll_and_pad", "concatenation", "indexing", "creation", "random_sampling",
)  # fmt: skip
"""The files of this folder."""


def op_rule(*names: str, accepts_rank_dependent: bool = False) -> Callable[[RuleFunction], RuleFunction]:
    """Make a function the rule of the torch functions with these names."""

    def add(judge: RuleFunction) -> RuleFunction:
        for name in names:
            if name in OP_RULES:
                raise ValueError(f"{name} has two rules")
            OP_RULES[name] = OpRule(_settled(judge), accepts_rank_dependent)
        return judge

    return add


def _settled(judge: RuleFunction) -> RuleFunction:
    """Where no gradient flows, a whole value is a constant, among operands and results."""

    @wraps(judge)
    def settle(operation: Operation) -> SpmdType | tuple[SpmdType, ...]:
        flows = any(result.grad for result in operation.results)
        if any(
            o.type in SAME_ON_ALL_RANKS and o.type is not CONSTANT and not (flows and o.grad)
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
            raise Unsupported(
                f"{operation.name} gave {len(operation.results)} tensors, its rule knows {len(kinds)}"
            )
        for kind, result in zip(kinds, operation.results, strict=True):
            if kind is CONSTANT and result.grad:
                raise Unsupported(
                    f"a gradient flows to what {operation.name} gives, but to none of its operands"
                )
        settled = [
            k if r.grad or k not in SAME_ON_ALL_RANKS else CONSTANT
            for k, r in zip(kinds, operation.results, strict=True)
        ]
        return settled[0] if len(settled) == 1 else tuple(settled)

    return settle


def _constant(item: Any, flows: bool) -> Any:
    if isinstance(item, Operand):
        if item.type in SAME_ON_ALL_RANKS and not (flows and item.grad):
            return Operand(CONSTANT, item.shape, item.grad, item.dtype, item.origin)
        return item
    return tuple(_constant(part, flows) for part in item) if isinstance(item, tuple) else item


def load_op_rules() -> dict[str, OpRule]:
    """All rules."""
    for family in RULE_MODULES:
        import_module(f"planc.proof.rules.{family}")
    return OP_RULES
