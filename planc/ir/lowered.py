"""What a proved plan tells each module to do. Data alone: no torch, no patterns, no options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from planc.ir.record import Record
from planc.ir.styles import LOSSES
from planc.ir.tree import TreePath

LocalKind = Literal["invariant", "replicated", "constant", "shard", "partial"]
"""What a value is on an axis: the types of the proof, without packed shards."""
TensorPath = TreePath


class LocalLayout(Record):
    """How a value lies on an axis."""

    kind: LocalKind
    dim: int | None = None
    """Of a shard."""


class LoweredChange(Record):
    """A tensor at the boundary of a module, brought from one layout to another."""

    path: TensorPath
    """A position or a keyword of the arguments, or steps into the result; then into tuples and mappings."""
    before: LocalLayout
    after: LocalLayout


class LoweredParam(Record):
    """How a parameter is laid out on an axis."""

    dim: int | None
    """The dim that is cut; None: every rank holds all of it."""
    part_sizes: tuple[int, ...] = ()
    """The whole sizes of the parts of a fused dim, each cut by itself."""
    reduce_grad: bool = False
    """Whether the ranks' gradients are parts of the whole, to be summed over the axis."""
    deferred_bias: bool = False
    """Whether it is added once, after the sum at the module's output."""


class LoweredModule(Record):
    """What one module is told on one axis."""

    inputs: tuple[LoweredChange, ...] = ()
    outputs: tuple[LoweredChange, ...] = ()
    parameters: Mapping[str, LoweredParam] = {}
    """Its own, by name; one that is not named here is whole, and so is its gradient."""
    attributes: Mapping[str, int] = {}
    """Numbers that each rank's module has instead of its own, by dotted name."""
    masked_lookup: bool = False
    """Whether it looks rows up in a table of which the rank has a slice: other rows are zero."""
    descendant_params: tuple[str, ...] = ()
    """Parameters of modules below that its own code uses, by dotted name."""
    per_rank_rng: tuple[bool, ...] = ()
    """Whether its own code draws random numbers for values that differ between ranks, or for
    values that do not: of each of its calls in one forward pass, in order. Empty: it never draws,
    or no module draws for values that differ."""


class OverlappedGather(Record):
    """A gather at a module's input, and products that run beside it."""

    path: TensorPath
    layers: tuple[str, ...]
    """Linear layers that are handed what is gathered, by their names below the module; '' is the module itself."""


class LoweredAxis(Record):
    """What all modules are told on a tensor axis."""

    axis: str
    modules: Mapping[str, LoweredModule]
    """By dotted name; a module that is not named does as it always does."""
    loss: str | None
    """How the loss is computed, a row of the table of losses."""
    logits_path: TensorPath = ()
    """Where in the model's result is what the loss is computed from."""
    overlapped_gathers: Mapping[str, tuple[OverlappedGather, ...]] = {}
    """What runs beside the gathers of a module, by dotted name; nothing where the plan has no `overlap`."""

    @property
    def splits_logits(self) -> bool:
        """Whether the loss takes logits that stay split over the vocabulary."""
        return self.loss is not None and LOSSES[self.loss].splits_logits


class LoweredUnit(Record):
    """Modules that FSDP shards and gathers together."""

    modules: tuple[str, ...]
    reshard: bool | int | None


class LoweredFsdp(Record):
    """FSDP on an axis, with a second one HSDP."""

    axis: str
    replicate: str | None
    settings: Mapping[str, str | bool | int]
    units: tuple[LoweredUnit, ...]
    """Inner ones before those around them."""


class LoweredRegion(Record):
    """Modules that are recomputed or compiled."""

    modules: tuple[str, ...]
    mode: str | None = None
    save: tuple[str, ...] = ()
    options: Mapping[str, str | bool] = {}
    """Arguments of `torch.compile`."""


class Lowered(Record):
    """A plan, ready to be applied to one model on one mesh."""

    tensor: tuple[LoweredAxis, ...] = ()
    recompute: tuple[LoweredRegion, ...] = ()
    compile: tuple[LoweredRegion, ...] = ()
    fsdp: LoweredFsdp | None = None
