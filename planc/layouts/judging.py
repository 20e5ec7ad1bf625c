"""One operation against its rule, and uses of numbers that are no operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from planc.ir.graph import Number, Op
from planc.layouts.numbers import COMPARISONS
from planc.layouts.operation import Differs, NotKnown, Operand, Operation, Refused, differing
from planc.layouts.types import CONSTANT, UNKNOWN, Counted, Type

if TYPE_CHECKING:
    from planc.layouts.interpret import Frame


def judged(frame: Frame, operation: Operation, operands: list[Operand]) -> Sequence[Type]:
    """The types of the results, by the rule of the operation."""
    nothing = [UNKNOWN] * len(operation.results)
    if any(operand.type is UNKNOWN for operand in operands):
        return nothing
    rule = frame.prover.rules.get(operation.name)
    if rule is None:
        if (
            operands
            and all(operand.type is CONSTANT for operand in operands)
            and not any(differing((operation.arguments, *operation.keywords.values())))
        ):
            return [CONSTANT] * len(operation.results)  # as masks and positions are made
        frame.fault("no-rule", operation.name, _no_rule(operation), "")
        return nothing
    unlike = list(differing((operation.arguments, *operation.keywords.values())))
    if any(number.local is None and not number.text for number in unlike):
        return nothing
    try:
        if operation.name not in _OF_POSITIONS:
            _refuse_positions(operands)
        if unlike and (not rule.sizes or any(number.local is None for number in unlike)):
            raise size_read(unlike[0])
        kinds = rule.judge(operation)
    except Refused as bad:
        frame.fault(bad.law, _called(operation), bad.got, bad.needed, operands)
        return nothing
    except NotKnown as bad:
        frame.fault("no-rule", _called(operation), str(bad), "", operands)
        return nothing
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as bad:
        # A graph may be written by hand, or by an enemy: what no rule can read is not judged.
        frame.fault("no-rule", operation.name, f"its arguments cannot be read ({type(bad).__name__})", "")
        return nothing
    if isinstance(kinds, Type):
        return [kinds] * len(operation.results)
    return kinds if len(kinds) == len(operation.results) else nothing


_OTHERWISE = "the next pass may do something else"
_BEYOND = {
    "attribute.changed": f"the pass changes what a module holds: {_OTHERWISE}",
    "random": f"the code draws a random number that is no tensor: {_OTHERWISE}, or another rank",
    "torch.distributed": "the code asks for the process group: ranks may do what the whole model does not",
    "backward": "the pass adds to gradients: it is not looked into",
    "grad": "the code reads a gradient: it is what another pass has left",
    "grad_fn": "the code reaches for the backward pass, where it can change gradients",
    "saved_tensors_hooks": "the code changes what the backward pass finds",
    "register_hook": "a hook can change a gradient",
    "register_post_accumulate_grad_hook": "a hook can change a gradient",
    "weight.assigned": f"the pass puts another tensor in the place of a weight: {_OTHERWISE}",
    "weight.written": "a weight is written to, and no operation shows it",
}
"""What is no operation, and may stand in a graph as one."""


def _no_rule(operation: Operation) -> str:
    if operation.name != "opaque":
        return _BEYOND.get(operation.name, "planc has no rule for this operation")
    if operation.arguments:
        return "a parameter is read from a plain attribute: the split model has another one"
    return "a tensor is read from where no operation has put it"


def watch(frame: Frame, step: Op) -> None:
    """A use of a number that is no operation: a branch, or one that cannot be followed."""
    numbers = [frame.argument(item) for item in step.arguments if isinstance(item, Number)]
    unlike = [number for number in numbers if isinstance(number, Differs)]
    if any(number.local is None and not number.text for number in unlike):
        frame.out.blind = True
        return
    if not unlike:
        return
    if step.name == "number.compare" and all(number.local is not None for number in unlike):
        compare = COMPARISONS.get(str(step.arguments[0]))
        sides = [frame.argument(item) for item in step.arguments[1:]]
        whole, local = (
            [getattr(side, name) if isinstance(side, Differs) else side for side in sides]
            for name in ("whole", "local")
        )
        if compare is not None and compare(*whole) == compare(*local):
            return
        bad = size_read(unlike[0])
        frame.fault(bad.law, "a branch of the model's code", bad.got, bad.needed)
        return
    frame.fault("no-rule", "a number of the model's code",
               f"{unlike[0].text} is turned into a plain number, and what becomes of it is out of sight", "")  # fmt: skip


_OF_POSITIONS = ("__getitem__", "unsqueeze")
"""What may be done with positions that each rank counts from its own start."""


def _refuse_positions(operands: Sequence[Operand]) -> None:
    for operand in operands:
        if isinstance(operand.type, Counted):
            raise Refused("size-read", str(operand.type), "positions that are counted along the whole dim")


def size_read(number: Differs) -> Refused:
    said = number.text or "a number that the code computes from sizes"
    here = "" if number.local is None else f": {number.local} on a rank, {number.whole} in the whole model"
    return Refused("size-read", f"{said}{here}", "a value that is whole where its size is read")


def _called(operation: Operation) -> str:
    kinds = ", ".join(str(operand.type) for operand in operation.operands())
    return f"{operation.name}({kinds})"
