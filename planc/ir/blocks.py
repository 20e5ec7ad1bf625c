"""The blocks of a plan and their entries: `tensor`, `fsdp`, `recompute`, `compile`.

The fields are the data form of a plan. `planc/ir/block_kinds.py` has a row for each kind.
"""

from __future__ import annotations

from typing import Annotated, Literal

from planc.ir.expr import Expr
from planc.ir.layout import Layout
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.ir.scalar import BoundedCount, BoundedInt, DottedName, Identifier, NonEmpty, ParamName, SingleLine
from planc.ir.styles import STYLES, Style


class Entry:
    """Mixin of the lines of a block about some modules: rules, units, regions."""

    @property
    def named_patterns(self) -> tuple[Pattern, ...]:
        """The patterns that name its modules."""
        pattern: Pattern = self.__dict__["pattern"]
        return (pattern,)

    @property
    def pattern_field(self) -> str:
        """The field that holds the patterns."""
        return "pattern"

    def pattern_path(self, index: int) -> tuple[str | int, ...]:
        """Where one of the patterns is, from the entry."""
        return (self.pattern_field,)

    @property
    def acts_on_calls(self) -> bool:
        """Whether it does something only when its modules are called."""
        return True


class Setting(Record):
    """A setting of a block, as `params: bf16`."""

    name: SingleLine
    value: SingleLine | bool | BoundedInt
    override: bool = False


# ---- tensor ------------------------------------------------------------------


class Part(Record):
    """One part of a fused projection."""

    size: Expr
    """Its size along the fused dim, in proportion to the other parts."""
    name: Identifier | None = None


class Port(Record):
    """A change of layout of one argument or result of a module."""

    key: Identifier | BoundedCount
    """A position, counted from 0, or a keyword."""
    before: Layout
    after: Layout


class ParamLayout(Record):
    """The layout of one parameter of a module."""

    name: ParamName
    """As the module calls it; in a `ParameterList`, the number of the item."""
    layout: Layout


class Attribute(Record):
    """An attribute that has a local value on each rank, as the number of its heads."""

    name: DottedName
    """As the module's code reads it: `num_heads`, `config.num_heads`, or `sizes.0` for an item of a list."""
    value: Expr


class Rule(Record, Entry):
    """How the modules that a pattern names are split on the axis of the block."""

    pattern: Pattern
    style: SingleLine | None = None
    """A row of the table of styles: colwise, rowwise, sequence, ..."""
    parts: tuple[Part, ...] = ()
    """The parts of a fused projection, for a style that takes them in brackets."""
    input: Layout | None = None
    """The layout that arrives from outside, where it is not the one that the style takes."""
    output: Layout | None = None
    """The layout that leaves, where it is not the one that the style returns."""
    inputs: tuple[Port, ...] = ()
    """Changes of layout at the module's arguments."""
    outputs: tuple[Port, ...] = ()
    """Changes of layout at the module's results."""
    params: tuple[ParamLayout, ...] = ()
    """Layouts of single parameters, such as fused experts."""
    buffers: tuple[ParamLayout, ...] = ()
    """Layouts of single buffers, such as the slopes of heads."""
    attributes: tuple[Attribute, ...] = ()
    """Local values of attributes that the module's code reads."""
    when: Expr | None = None
    """Where this is false, the rule has no effect."""
    override: bool = False
    """Replace earlier rules for the modules that both name."""

    @property
    def style_row(self) -> Style | None:
        """The row of its style; None: it has no style, or one that does not exist."""
        return None if self.style is None else STYLES.get(self.style)

    @property
    def acts_on_calls(self) -> bool:
        """A rule of params, buffers and attributes alone has no boundary: it changes the module itself."""
        return self.style is not None or bool(self.inputs or self.outputs)


class Loss(Record):
    """How the loss is computed on an axis."""

    style: SingleLine
    """A row of the table of losses: vocab_parallel, or whole."""
    when: Expr | None = None
    override: bool = False


class TensorBlock(Record):
    """Tensor parallelism on one axis."""

    axis: Identifier
    rules: tuple[Rule, ...] = ()
    loss: Loss | None = None
    remove: tuple[Pattern, ...] = ()
    """Rules of the extended plan to drop, by their pattern."""
    settings: tuple[Setting, ...] = ()
    kind: Literal["tensor"] = "tensor"


# ---- fsdp --------------------------------------------------------------------


class Unit(Record, Entry):
    """Modules that FSDP2 shards and gathers together: one `fully_shard` call."""

    patterns: Annotated[tuple[Pattern, ...], NonEmpty()]
    reshard: bool | BoundedInt | None = None
    """After the forward pass: false keeps it gathered, a number reshards to so many ranks."""
    when: Expr | None = None
    """Where this is false, the unit has no effect."""
    override: bool = False
    """Replace an earlier unit of the same modules."""

    @property
    def named_patterns(self) -> tuple[Pattern, ...]:
        """The patterns that name its modules: together they are one unit."""
        return self.patterns

    @property
    def pattern_field(self) -> str:
        """The field that holds the patterns."""
        return "patterns"

    def pattern_path(self, index: int) -> tuple[str | int, ...]:
        """Where one of the patterns is, from the entry."""
        return (self.pattern_field, index)


class FsdpBlock(Record):
    """FSDP2 on one axis; with `replicate`, HSDP."""

    axis: Identifier
    replicate: Identifier | None = None
    """The axis over which the shards are replicated."""
    settings: tuple[Setting, ...] = ()
    units: tuple[Unit, ...] = ()
    remove: tuple[Pattern, ...] = ()
    """Units of the extended plan to drop, by their pattern."""
    kind: Literal["fsdp"] = "fsdp"


# ---- recompute ---------------------------------------------------------------

RECOMPUTE_MODES = {
    "full": "keep nothing but the inputs of the module",
    "save": "keep the results of the kinds of operation named, recompute the rest",
}
SAVEABLE_OPS = {
    "matmul": "matrix products",
    "attention": "fused attention",
    "collective": "results of communication",
}
"""Kinds of operation that `save(...)` may keep."""


class Recompute(Record, Entry):
    """Modules whose forward pass is recomputed in the backward pass."""

    pattern: Pattern
    mode: SingleLine | None = None
    """`full`, the default, or `save`."""
    save: tuple[SingleLine, ...] = ()
    """The kinds of operation whose results mode `save` keeps."""
    when: Expr | None = None
    """Where this is false, the line has no effect."""
    override: bool = False
    """Replace an earlier line for the modules that both name."""


class RecomputeBlock(Record):
    """Activation checkpointing."""

    regions: tuple[Recompute, ...] = ()
    remove: tuple[Pattern, ...] = ()
    """Regions of the extended plan to drop, by their pattern."""
    kind: Literal["recompute"] = "recompute"


# ---- compile -----------------------------------------------------------------


class Compile(Record, Entry):
    """Modules that are compiled separately."""

    pattern: Pattern
    when: Expr | None = None
    """Where this is false, the line has no effect."""
    override: bool = False
    """Replace an earlier line for the modules that both name."""


class CompileBlock(Record):
    """`torch.compile`."""

    settings: tuple[Setting, ...] = ()
    targets: tuple[Compile, ...] = ()
    remove: tuple[Pattern, ...] = ()
    """Targets of the extended plan to drop, by their pattern."""
    kind: Literal["compile"] = "compile"


Block = TensorBlock | FsdpBlock | RecomputeBlock | CompileBlock
