"""Why the proof refuses a plan: a record for each cause, with the data that it consists of.

Rules raise these, the interpreter and the module boundaries collect them. `sentences.py` alone turns them
into English; `planc.fixes` reads their fields.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from planc.ir.layout import Layout
from planc.ir.record import Record
from planc.proof.types import LocalIndex, NumberPart, NumberSource, PackedShard, Sharded, SpmdType

LayoutLaw = Literal[
    "arrives", "partial", "cut-dim", "cut-along", "sequence", "gradient", "size-read", "size-written", "batch",
    "meet", "leaves", "loss-needs", "repeat", "unit-read", "unit-memory", "no-rule",
]  # fmt: skip
"""The laws of layouts; `planc.checks` has a page for each."""
UNIT_LAWS: tuple[LayoutLaw, ...] = ("unit-read", "unit-memory")
"""The laws of FSDP's units."""


class Cause(Record):
    """What breaks a law."""

    LAW: ClassVar[LayoutLaw]

    @property
    def law(self) -> LayoutLaw:
        """The law that is broken."""
        return self.LAW


# ---- partial values --------------------------------------------------------------------

PartialUse = Literal[
    "nonlinear operation", "sum with a full value", "product with a value that differs", "bias", "deferred bias",
    "histogram", "index", "number written", "uneven expand", "cast", "fill", "constant added", "padding", "scatter",
]  # fmt: skip


class PartialOperand(Cause):
    """An operation that is not linear in a partial operand takes it before the ranks have summed it."""

    LAW = "partial"
    use: PartialUse
    dtype: str = ""
    """For a cast: the dtype that rounds."""


# ---- views of sharded dims -------------------------------------------------------------


class UnevenDim(Cause):
    """The ranks cannot share a dim evenly."""

    LAW = "cut-dim"
    dim: int
    size: int
    ranks: int


class UnevenParts(Cause):
    """A view does not keep the parts of a packed dim divisible by the ranks."""

    LAW = "cut-dim"
    dim: int
    size: int
    parts: tuple[int, ...]
    ranks: int


class MergedInnerDim(Cause):
    """A view merges a sharded dim into one before it, so that a rank's entries are not consecutive."""

    LAW = "cut-dim"
    dim: int
    outer: int


class MissingDim(Cause):
    """A layout shards a dim that the value does not have."""

    LAW = "cut-dim"
    dim: int
    ndim: int


class SqueezedShard(Cause):
    """A rank has one entry of a dim, and the code squeezes it away."""

    LAW = "cut-dim"
    dim: int
    size: int


# ---- operations along a sharded dim ----------------------------------------------------

DimUse = Literal[
    "", "reduction", "sort", "pooling", "glu", "patches", "diagonal", "convolution", "grouped convolution", "concatenation",
    "positions", "row numbers", "normalization", "batch statistics", "softmax", "scan", "difference", "loss", "mean loss",
    "index", "index write", "recurrence", "matrix", "resampling",
]  # fmt: skip
"""Why an operation needs all entries along a dim."""

DimChange = Literal[
    "taken apart", "rolled", "flipped", "padded", "cut into windows", "repeated", "written in part"
]
"""What an operation does to a dim that it needs in full."""


class FullDimNeeded(Cause):
    """An operation needs all entries along a dim of which a rank has a slice."""

    type: SpmdType
    use: DimUse = ""
    size_is_literal: bool = False
    """Whether a number in the code, right for the whole model alone, makes it so."""

    @property
    def law(self) -> LayoutLaw:
        return "size-written" if self.size_is_literal else "cut-along"


class ShardedDimChanged(Cause):
    """An operation changes a dim, and a rank has only a slice of it."""

    LAW = "cut-along"
    dim: int
    type: SpmdType
    change: DimChange


class Entries(Record):
    """Entries of a dim, as `range(start, stop, step)`."""

    start: int
    stop: int
    step: int = 1

    @classmethod
    def from_range(cls, entries: range) -> Entries:
        """The entries that a range takes."""
        return cls(entries.start, entries.stop, entries.step)

    def __str__(self) -> str:
        return f"entries {self.start} to {self.stop}" + (f" by {self.step}" if self.step != 1 else "")


class FusedSlice(Cause):
    """Code slices a fused dim at a bound where no rank's part begins."""

    LAW = "cut-along"
    entries: Entries
    size: int
    """Of the dim, in the whole model."""
    type: Sharded | PackedShard


class FusedSplit(Cause):
    """Code splits a fused dim, and a rank gets other pieces than the whole model."""

    LAW = "cut-along"
    dim: int
    type: SpmdType


class SliceBounds(Cause):
    """Code slices with bounds of the whole model, where a rank has fewer entries."""

    entries: Entries
    """In the whole model."""
    dim: int
    local: Entries
    """Where a rank has its share of them."""
    taken: Entries
    """What the code takes on a rank."""
    is_literal: bool
    """Whether the bounds are numbers in the code."""

    @property
    def law(self) -> LayoutLaw:
        return "size-written" if self.is_literal else "cut-along"


class SplitComplexParts(Cause):
    """The real and the imaginary part of a number are on different ranks."""

    LAW = "cut-along"


class SplitHeads(Cause):
    """A rank has a slice of each head."""

    LAW = "cut-along"
    type: SpmdType


class PackedGather(Cause):
    """An all-gather of a packed shard would give the parts in the order of the ranks."""

    LAW = "cut-along"
    type: PackedShard


class ShardedSequence(Cause):
    """Attention sees a rank's slice of the sequence."""

    LAW = "sequence"
    type: SpmdType


# ---- gradients -------------------------------------------------------------------------


class MixedGradients(Cause):
    """One operand has its full gradient on every rank, another one a partial gradient."""

    LAW = "gradient"


class UnreducedGradient(Cause):
    """The gradient of a replicated operand is partial, and nothing all-reduces it."""

    LAW = "gradient"
    shape: tuple[int, ...]
    other: Literal["sharded", "partial"]
    """What the other operand is."""


class GradientUsedBothWays(Cause):
    """One use of a parameter gives a partial gradient, another one the full gradient."""

    LAW = "gradient"
    module: str
    """Where the gradient is full."""


# ---- sizes that the model's code reads or writes ---------------------------------------


class SizeRead(Cause):
    """The model's code uses a number that is not the whole model's on a rank."""

    LAW = "size-read"
    source: NumberSource | None
    global_value: int | float | None
    local_value: int | float | None
    in_argument: bool
    """Whether an operation's argument takes it; else it enters the arithmetic or a branch."""
    parts: tuple[NumberPart, ...] = ()
    """What the code computes it from."""

    @property
    def is_mixed(self) -> bool:
        """Whether it is computed from numbers of which some are the whole model's and others are the rank's own."""
        return len({part.global_value == part.local_value for part in self.parts}) == 2


class LocalIndexUsed(Cause):
    """Positions that each rank counts from its own start serve as positions of the whole model."""

    LAW = "size-read"
    type: LocalIndex


class LiteralSize(Cause):
    """The model's code has a size as a number, and a rank has another one."""

    LAW = "size-written"
    dim: int
    literal: int
    local_size: int


# ---- operands with incompatible layouts ------------------------------------------------


class DifferentDims(Cause):
    """Operands are sharded along different dims of the operation."""

    LAW = "meet"
    types: tuple[SpmdType, ...]


class ShardedWithFull(Cause):
    """One operand is sharded along a dim that another one has in full."""

    LAW = "meet"
    type: SpmdType
    shape: tuple[int, ...]
    """Of the other operand."""


class PackedWithUnpacked(Cause):
    """One operand is a packed shard, another one is sharded in one part."""

    LAW = "meet"


class ExpandedShard(Cause):
    """Code expands a sharded tensor to a size that differs between ranks."""

    LAW = "meet"
    type: SpmdType


class UnevenGroups(Cause):
    """The groups of a norm or a convolution are not sharded as its operands are."""

    LAW = "meet"
    operation: Literal["norm", "convolution"]
    groups: int | float | None
    local_groups: int | float | None


class ShapeOfOther(Cause):
    """A view takes the shape of a tensor that is sharded otherwise."""

    LAW = "meet"
    type: SpmdType
    other: SpmdType


class ShardedRowNumbers(Cause):
    """The row numbers of a table that is sharded by rows are not the same on every rank."""

    LAW = "meet"
    type: SpmdType


# ---- boundaries and results ------------------------------------------------------------


class ArrivingLayout(Cause):
    """A value arrives at a module in another layout than its rule declares."""

    LAW = "arrives"
    type: SpmdType
    declared: Layout


class OutputNotFull(Cause):
    """A value leaves the model, and is not full on every rank."""

    LAW = "leaves"
    type: SpmdType


class OutputNotBatch(Cause):
    """A value leaves the model on an axis that splits the batch, and is not a rank's part of it."""

    LAW = "leaves"
    type: SpmdType


class LogitsNotSharded(Cause):
    """A vocab-parallel loss gets logits that are not sharded over the vocabulary."""

    LAW = "loss-needs"
    type: SpmdType
    dim: int
    """The dim of the vocabulary."""


# ---- the units of FSDP -----------------------------------------------------------------


class ParameterNotGathered(Cause):
    """Code reads a parameter while the unit that holds it is not gathered."""

    LAW = "unit-read"
    parameter: str
    """Its name in the model."""
    unit: str


class FreedMemory(Cause):
    """Code uses memory of a parameter that its unit has freed."""

    LAW = "unit-memory"
    unit: str
    direction: Literal["forward", "backward"]
    """Whether it uses a view of the parameter, or needs the parameter for a gradient."""


class ResultChanged(Cause):
    """Code changes a unit's result in place, and the result is a view: autograd drops FSDP's hook on it."""

    LAW = "unit-memory"
    unit: str


class ArgumentChanged(Cause):
    """The module of a unit changes an argument in place, which autograd refuses behind FSDP's node of the arguments."""

    LAW = "unit-memory"
    unit: str
