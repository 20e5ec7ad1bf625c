"""The tensors that autograd saves for the backward pass, as torch's `derivatives.yaml` has it.

An operation saves only what the gradients need that it must compute: `x * y` saves `y` if a gradient
flows to `x`, and `x` if one flows to `y`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from planc.ir.graph import TensorInfo
from planc.ir.record import Record
from planc.proof.rules.operation import Operand, Operation

Source = int | Literal["result", "indices"]
"""An operand, by its place among the operands of the call; the first result; the second one."""


class SavedTensor(Record):
    """One tensor that a call saves."""

    info: TensorInfo
    """Its shape and dtype, as in `Operation.results`: the global ones."""
    source: Source | None
    """The operand or the result that it is; None: the operation makes it."""


SavesFunction = Callable[[Operation], tuple[SavedTensor, ...] | None]
"""The tensors that a call saves where a gradient flows to its result; None: that is not known."""


def saves_unknown(_: Operation) -> None:
    """Nobody has looked up what the operation saves."""
    return


def saves(*sources: Source) -> SavesFunction:
    """These operands and results, whichever gradients are needed; operands that a call lacks are left out."""

    def saved(operation: Operation) -> tuple[SavedTensor, ...]:
        return saved_sources(operation, sources)

    return saved


saves_nothing = saves()
"""No tensor, as views and sums."""


def saves_factors(first: int = 0, second: int = 1) -> SavesFunction:
    """Each of two factors, for the gradient of the other."""

    def saved(operation: Operation) -> tuple[SavedTensor, ...]:
        operands = operation.operands()
        if len(operands) <= max(first, second):
            return ()
        needed = [n for n, other in ((first, second), (second, first)) if operands[other].grad]
        return saved_sources(operation, needed)

    return saved


def saved_sources(operation: Operation, sources: Sequence[Source]) -> tuple[SavedTensor, ...]:
    """The operands and results with these names, where the call has them."""
    operands, results = operation.operands(), operation.results
    found: list[SavedTensor] = []
    for source in sources:
        if isinstance(source, int):
            if source < len(operands):
                found.append(SavedTensor(operand_info(operands[source]), source))
            continue
        number = 0 if source == "result" else 1
        if number < len(results):
            found.append(SavedTensor(results[number], source))
    return tuple(found)


def made(shape: tuple[int, ...], dtype: str) -> SavedTensor:
    """A tensor that the operation makes for its backward pass alone."""
    return SavedTensor(TensorInfo(shape, dtype), None)


def operand_info(operand: Operand) -> TensorInfo:
    """The global shape and the dtype of an operand."""
    return TensorInfo(operand.shape, operand.dtype, operand.grad)
