"""One operation against its rule, and uses of numbers that are no operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from planc.ir.graph import Op, SymNumber
from planc.proof.interpreter.symbolic_numbers import COMPARISONS
from planc.proof.rules.catalog import find_op
from planc.proof.rules.operation import (
    Operand,
    Operation,
    RankDependent,
    RuleViolation,
    Unsupported,
    iter_rank_dependent,
)
from planc.proof.types import CONSTANT, UNKNOWN, LocalIndex, SpmdType

if TYPE_CHECKING:
    from planc.proof.interpreter.interpreter import Frame


def eval_op(frame: Frame, operation: Operation, operands: list[Operand]) -> Sequence[SpmdType]:
    """The types of the results, by the rule of the operation."""
    nothing = [UNKNOWN] * len(operation.results)
    if any(operand.type is UNKNOWN for operand in operands):
        return nothing
    row = find_op(operation.name)
    if row is None or row.infer is None:
        if (
            operands
            and all(operand.type is CONSTANT for operand in operands)
            and not any(iter_rank_dependent((operation.arguments, *operation.keywords.values())))
        ):
            return [CONSTANT] * len(operation.results)  # as masks and positions are made
        frame.add_violation("no-rule", operation.name, _why_no_rule(operation), "")
        return nothing
    unlike = list(iter_rank_dependent((operation.arguments, *operation.keywords.values())))
    if any(number.local_value is None and not number.description for number in unlike):
        return nothing
    try:
        if not row.accepts_local_index:
            _reject_local_index(operands)
        if unlike and (
            not row.accepts_rank_dependent or any(number.local_value is None for number in unlike)
        ):
            raise size_read_violation(unlike[0])
        kinds = row.infer(operation)
    except RuleViolation as bad:
        frame.add_violation(bad.law, _signature(operation), bad.got, bad.needed, operands)
        return nothing
    except Unsupported as bad:
        frame.add_violation("no-rule", _signature(operation), str(bad), "", operands)
        return nothing
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as bad:
        # A graph may be written by hand, or by an enemy: what no rule can read is not judged.
        frame.add_violation(
            "no-rule", operation.name, f"its arguments cannot be read ({type(bad).__name__})", ""
        )
        return nothing
    if isinstance(kinds, SpmdType):
        return [kinds] * len(operation.results)
    return kinds if len(kinds) == len(operation.results) else nothing


_NOT_REPEATABLE = "the next pass may do something else"
_SIDE_EFFECTS = {
    "attribute.changed": f"the pass changes what a module holds: {_NOT_REPEATABLE}",
    "random": f"the code draws a random number that is no tensor: {_NOT_REPEATABLE}, or another rank",
    "torch.distributed": "the code asks for the process group: ranks may do what the whole model does not",
    "backward": "the pass adds to gradients: it is not looked into",
    "grad": "the code reads a gradient: it is what another pass has left",
    "grad_fn": "the code reaches for the backward pass, where it can change gradients",
    "saved_tensors_hooks": "the code changes what the backward pass finds",
    "register_hook": "a hook can change a gradient",
    "register_post_accumulate_grad_hook": "a hook can change a gradient",
    "weight.assigned": f"the pass puts another tensor in the place of a weight: {_NOT_REPEATABLE}",
    "weight.written": "a weight is written to, and no operation shows it",
}
"""What is no operation, and may stand in a graph as one."""


def _why_no_rule(operation: Operation) -> str:
    if operation.name != "opaque":
        return _SIDE_EFFECTS.get(operation.name, "planc has no rule for this operation")
    if operation.arguments:
        return "a parameter is read from a plain attribute: the split model has another one"
    return "a tensor is read from where no operation has put it"


def check_size_use(frame: Frame, step: Op) -> None:
    """A use of a number that is no operation: a branch, or one that cannot be followed."""
    numbers = [frame.eval_argument(item) for item in step.arguments if isinstance(item, SymNumber)]
    unlike = [number for number in numbers if isinstance(number, RankDependent)]
    if any(number.local_value is None and not number.description for number in unlike):
        frame.analysis.has_unknown = True
        return
    if not unlike:
        return
    if step.name == "number.compare" and all(number.local_value is not None for number in unlike):
        compare = COMPARISONS.get(str(step.arguments[0]))
        sides = [frame.eval_argument(item) for item in step.arguments[1:]]
        whole, local = (
            [getattr(side, name) if isinstance(side, RankDependent) else side for side in sides]
            for name in ("global_value", "local_value")
        )
        if compare is not None and compare(*whole) == compare(*local):
            return
        bad = size_read_violation(unlike[0])
        frame.add_violation(bad.law, "a branch of the model's code", bad.got, bad.needed)
        return
    frame.add_violation("no-rule", "a number of the model's code",
               f"{unlike[0].description} is turned into a plain number, and what becomes of it is out of sight", "")  # fmt: skip


def _reject_local_index(operands: Sequence[Operand]) -> None:
    for operand in operands:
        if isinstance(operand.type, LocalIndex):
            raise RuleViolation(
                "size-read", str(operand.type), "positions that are counted along the whole dim"
            )


def size_read_violation(number: RankDependent) -> RuleViolation:
    said = number.description or "a number that the code computes from sizes"
    here = (
        ""
        if number.local_value is None
        else f": {number.local_value} on a rank, {number.global_value} in the whole model"
    )
    return RuleViolation("size-read", f"{said}{here}", "a value that is whole where its size is read")


def _signature(operation: Operation) -> str:
    kinds = ", ".join(str(operand.type) for operand in operation.operands())
    return f"{operation.name}({kinds})"
