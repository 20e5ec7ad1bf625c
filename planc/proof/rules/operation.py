"""One operation with its operands, as a rule sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from planc.ir.graph import Slice, TensorInfo
from planc.ir.record import Record
from planc.ir.tree import leaves
from planc.proof.types import NumberPart, NumberSource, SpmdType, local_shape
from planc.proof.unproved import Unproved, UnsupportedCall
from planc.proof.violations import Cause, LayoutLaw


class RuleViolation(Exception):
    """The ranks' local results are not shards of the global result."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause = cause

    @property
    def law(self) -> LayoutLaw:
        """The law that the operation breaks."""
        return self.cause.law


class Unsupported(Exception):
    """A rule cannot tell, and never guesses: the plan is unproved."""

    def __init__(self, reason: str | Unproved) -> None:
        super().__init__(reason)
        self.cause = UnsupportedCall(reason) if isinstance(reason, str) else reason


class Operand:
    """A tensor that an operation takes."""

    __slots__ = ("dtype", "grad", "input_number", "is_fresh", "origin", "shape", "type")

    def __init__(
        self,
        kind: SpmdType,
        shape: tuple[int, ...],
        grad: bool = True,
        dtype: str = "float32",
        origin: Any = None,
        input_number: int | None = None,
        *,
        is_fresh: bool = False,
    ) -> None:
        self.type, self.shape, self.grad, self.dtype = kind, shape, grad, dtype
        """`shape` is the global one; `grad` says whether a gradient flows to the tensor."""
        self.origin = origin
        """The caller's own: where it got its type, or which tensor of the graph it is."""
        self.input_number = input_number
        """The number of the model's input of which every entry of it is one; None: of none, or planc cannot tell."""
        self.is_fresh = is_fresh
        """Whether an operation of the same code has made its memory: it is no buffer, and nobody else's."""

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def local_shape(self, ranks: int) -> tuple[int, ...]:
        """The shape of one rank's local tensor."""
        return local_shape(self.shape, self.type, ranks)


class IgnoredTargets(Record):
    """Entries of a tensor that a mean neither sums nor counts."""

    operand: Operand
    entry: int
    """They are equal to it."""


class RankDependent(Record):
    """A number of the model's code that has one value in the whole model and another one on a rank."""

    global_value: int | float | None
    local_value: int | float | None
    source: NumberSource | None = None
    """What the code read; None: a result of several numbers, or one that depends on an unknown value."""
    share: int | None = None
    """The power of the number of ranks that a rank's number is times the whole model's, whatever the sizes: -1 for a size
    that the ranks share. None: there is none, or planc cannot tell."""
    parts: tuple[NumberPart, ...] = ()
    """What it is computed from, where that is known; empty: it is read as it is."""

    @property
    def is_unknown(self) -> bool:
        """Whether it depends on a value of unknown type."""
        return self.local_value is None and self.source is None


class Operation:
    """A call of a torch function. Its arguments are operands, constants (numbers that are the same on all
    ranks among them), `RankDependent`, `Slice`, `TorchConstant`, and tuples of these."""

    __slots__ = (
        "_operands", "arguments", "keywords", "masks_lookup", "name", "ranks", "results", "splits_batch",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        arguments: tuple[Any, ...],
        keywords: Mapping[str, Any],
        results: tuple[TensorInfo, ...],
        ranks: int,
        masks_lookup: bool = False,
        splits_batch: bool = False,
    ) -> None:
        self.name, self.arguments, self.keywords = name, arguments, keywords
        self.results, self.ranks = results, ranks
        """The results of the captured run, with global shapes; the number of ranks on the axis."""
        self._operands: list[Operand] | None = None
        self.masks_lookup = masks_lookup
        """Whether the module that runs masks the lookup of rows that a rank lacks: see `StyledClass.masked_lookup`."""
        self.splits_batch = splits_batch
        """Whether the axis splits the batch, so that the ranks' inputs and random numbers are not the same. The parts of
        it are equal, and gradients are averaged: a mean over the batch is `AVERAGE`."""

    def bind_arguments(self, *names: str, **defaults: Any) -> list[Any]:
        """The values of the arguments.

        Args:
            names: the arguments that a call must have, in the order of their positions.
            defaults: those that it may have, which follow in position.

        Raises:
            Unsupported: the call lacks an argument, or has one that the rule does not know.
        """
        order = (*names, *defaults)
        if len(self.arguments) > len(order):
            raise Unsupported(f"{self.name} has more arguments than its rule knows")
        given = dict(zip(order, self.arguments, strict=False))
        for name, value in self.keywords.items():
            if name not in order:
                if value is None or value is False:
                    continue
                raise Unsupported(f"the rule of {self.name} does not know the argument '{name}'")
            given[name] = value
        missing = [name for name in names if name not in given]
        if missing:
            raise Unsupported(f"{self.name} lacks the argument '{missing[0]}'")
        return [given.get(name, defaults.get(name)) for name in order]

    def with_renamed_keywords(self, names: Mapping[str, str]) -> Operation:
        """The same call with other names for some of its keywords."""
        return self.with_arguments(
            self.arguments, {names.get(name, name): value for name, value in self.keywords.items()}
        )

    def with_arguments(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Operation:
        """The same call with other arguments."""
        return Operation(
            self.name, arguments, keywords, self.results, self.ranks, self.masks_lookup, self.splits_batch
        )

    def operands(self) -> list[Operand]:
        """Every tensor among the arguments, in order."""
        if self._operands is None:
            self._operands = list(iter_operands((self.arguments, *self.keywords.values())))
        return self._operands


def iter_operands(item: Any) -> Iterator[Operand]:
    """The operands in an argument."""
    return iter(leaves(item, Operand, into=(tuple,)))


def iter_rank_dependent(item: Any) -> Iterator[RankDependent]:
    """The numbers in an argument that differ between a rank and the whole."""
    return iter(leaves(item, RankDependent, into=(tuple, Slice)))
