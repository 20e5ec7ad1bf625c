"""Instructions for each module, which a proved plan is lowered to: data without torch, patterns or options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from planc.ir.record import Record
from planc.ir.styles import LOSSES
from planc.ir.tree import TreePath

LocalKind = Literal["invariant", "replicated", "constant", "shard", "partial"]
"""The types of the proof; a packed shard of an activation counts as a shard."""
NumberKind = Literal["real", "complex", "integer"]
"""What a tensor holds; booleans are integers."""
TensorPath = TreePath


class LocalLayout(Record):
    """The layout of one tensor on an axis."""

    kind: LocalKind
    dim: int | None = None
    """The sharded dim of a shard; negative counts from the last, as in the plan."""


class LoweredChange(Record):
    """A tensor that a module's boundary redistributes from one layout to another."""

    path: TensorPath
    """Where the tensor is: a position or a keyword of the arguments, then keys into containers; or keys into the
    result."""
    before: LocalLayout
    after: LocalLayout
    ndims: tuple[int, ...] = ()
    """How many dims the tensor had where the plan was proved; empty: the change is right for any number."""
    written: bool = False
    """Whether the module's code changes the tensor in place: it then gets memory of its own."""


class LoweredParam(Record):
    """One parameter on an axis: how it is placed, and what happens to its gradient."""

    dim: int | None
    """The sharded dim, `Shard(dim)` in DTensor; None: `Replicate()`."""
    part_sizes: tuple[int, ...] = ()
    """The global sizes of the parts of a packed dim, each of which is sharded by itself."""
    reduce_grad: bool = False
    """Whether the ranks' gradients are partial, and all-reduced over the axis."""
    deferred_bias: bool = False
    """Whether the module's boundary adds it once, after the sum of the outputs."""


class LoweredModule(Record):
    """The instructions of one module on one axis."""

    inputs: tuple[LoweredChange, ...] = ()
    outputs: tuple[LoweredChange, ...] = ()
    parameters: Mapping[str, LoweredParam] = {}
    """Its own, by name. Others are replicated, with full gradients on every rank."""
    buffers: Mapping[str, LoweredParam] = {}
    """Its own that are sharded, by name: while its forward runs, it finds the rank's slice of each."""
    attributes: Mapping[str, int] = {}
    """Numbers that take the place of the module's own on each rank, by dotted name."""
    masked_lookup: bool = False
    """Whether it looks up rows of a table of which each rank has a shard: rows of other ranks are zero."""
    row_attributes: tuple[str, ...] = ()
    """Its attributes that name a row of that table: while its own forward runs they have the rank's number of the row,
    or None."""
    descendant_params: tuple[str, ...] = ()
    """Parameters of modules below it that its own code uses, by dotted name: it finds local tensors."""
    whole_params: tuple[str, ...] = ()
    """Those of which it reads only the global size: it finds DTensors, also where code around it finds local ones."""
    per_rank_rng: tuple[bool, ...] = ()
    """For each of its calls in one forward pass, in order: whether its own code draws random numbers for values
    that differ between ranks. Empty: it never draws, or no module draws for such values."""


class OverlappedGather(Record):
    """An all-gather at a module's input, and the matrix products that overlap it."""

    path: TensorPath
    layers: tuple[str, ...]
    """The linear layers that take the gathered tensor, by their names below the module; '' is the module itself."""


class LoweredAxis(Record):
    """The instructions of all modules on a tensor axis."""

    axis: str
    modules: Mapping[str, LoweredModule]
    """By dotted name; other modules run unchanged."""
    loss: str | None
    """How the loss is computed: the name of a row of `LOSSES`."""
    logits_path: TensorPath = ()
    """Where the logits are in the model's result."""
    overlapped_gathers: Mapping[str, tuple[OverlappedGather, ...]] = {}
    """The gathers of each module that products overlap, by dotted name; empty without `overlap` in the plan."""
    uncalled: Mapping[str, bool] = {}
    """Modules with parameters or a rule that the captured call does not use, by dotted name, and whether a rule names them:
    nothing is proved of a call of them."""

    @property
    def splits_logits(self) -> bool:
        """Whether the loss takes logits that stay split over the vocabulary."""
        return self.loss is not None and LOSSES[self.loss].splits_logits


class LoweredUnit(Record):
    """Modules that FSDP shards and gathers together."""

    modules: tuple[str, ...]
    reshard: bool | int | None


class LoweredFsdp(Record):
    """FSDP on one axis, or HSDP on two."""

    axis: str
    replicate: str | None
    settings: Mapping[str, str | bool | int]
    units: tuple[LoweredUnit, ...]
    """Inner units before those that contain them."""


class LoweredRegion(Record):
    """Modules that are recomputed or compiled."""

    modules: tuple[str, ...]
    mode: str | None = None
    save: tuple[str, ...] = ()
    options: Mapping[str, str | bool] = {}
    """Arguments of `torch.compile`."""
    restored_buffers: Mapping[str, tuple[str, ...]] = {}
    """By the module of a region, buffers of the model that its second run finds as the first did, and leaves as they are."""


class LoweredInput(Record):
    """A tensor that the model was captured with: calls have to be of its kind."""

    ndim: int
    kind: NumberKind
    ones: tuple[int, ...] = ()
    """Its dims that must have size 1, as in the capture: a view merges such a dim with a sharded one."""
    takes_grad: bool = True
    """Whether it may need a gradient: the plan is proved for that too."""
    forbidden_entries: tuple[int, ...] = ()
    """Entries that it may not have: a mean over the batch leaves them out, and ranks may have other numbers of them."""


class Lowered(Record):
    """The instructions of a plan for one model on one mesh."""

    tensor: tuple[LoweredAxis, ...] = ()
    recompute: tuple[LoweredRegion, ...] = ()
    compile: tuple[LoweredRegion, ...] = ()
    fsdp: LoweredFsdp | None = None
    inputs: Mapping[str, LoweredInput] = {}
    """The inputs of the model, by keyword or by position written as a number; one in a container has the number
    of the tensor there too, as `0.1`. Empty: calls are not compared with the captured one."""
    results: tuple[TensorPath, ...] | None = None
    """Where real tensors of one dim or more are in the model's result: the plan is proved for these. None: others are
    full, too."""
    eval_error: str = ""
    """Why the plan is not proved for the model in eval mode, whose code may take another branch there; empty: it is."""
