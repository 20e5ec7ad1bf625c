"""The styles and the losses: a row each. Stages ask the row, never the name.

A style says how one module is split on an axis that splits tensors. Names and layouts are those of
`torch.distributed.tensor.parallel` where it has the style.
"""

from __future__ import annotations

from collections.abc import Sequence

from planc.ir.layout import PARTIAL, REPLICATE, Layout, Partial, Replicate, Shard
from planc.ir.record import Record


class StyleParam(Record):
    """How a style lays out one parameter of a class."""

    name: str
    """Of the parameter in its module; `*` is any."""
    layout: Layout
    deferred_bias: bool = False
    """Whether it is added once, after the all-reduce or reduce-scatter of the module's output."""


class StyledClass(Record):
    """How a style treats the modules of one class."""

    class_name: str
    """As `Linear`; `*` is any other."""
    params: tuple[StyleParam, ...]
    input: Layout | None = None
    """The layout of its input, where it is not the style's."""
    divided_attributes: tuple[str, ...] = ()
    """Attributes that count what is split: each rank's module gets its share."""
    masked_lookup: bool = False
    """Whether it looks rows up in a table of which each rank has a slice: rows of other ranks are zero."""
    row_attributes: tuple[str, ...] = ()
    """Attributes that name a row of that table. While its own forward runs, each has the number of the row in the
    rank's slice, or None on ranks that lack the row; all other code finds the number in the whole table."""


class Style(Record):
    """A row: how a module of each class is split."""

    name: str
    summary: str
    classes: tuple[StyledClass, ...]
    input: Layout | None
    """The layout of the module's input; None: as it comes."""
    output: Layout | None
    """The layout of its output after the style's own communication; None: as it comes."""
    local_output: Layout | None = None
    """The layout of its output before that communication, where it is not `output`."""
    takes_parts: bool = False
    """Whether it takes the parts of a fused parameter in brackets."""

    @property
    def splits_outputs(self) -> bool:
        """Whether each rank computes some of the output features."""
        return isinstance(self.input, Replicate) and isinstance(self.output, Shard)

    @property
    def reduces_output(self) -> bool:
        """Whether the ranks' outputs are summands, which an all-reduce or a reduce-scatter adds."""
        return isinstance(self.local_output, Partial)

    @property
    def splits_sequence(self) -> bool:
        """Whether the module runs on a slice of the sequence."""
        return isinstance(self.input, Shard) and self.input == self.output

    @property
    def follows_input(self) -> bool:
        """Whether the module takes its input in any layout."""
        return self.input is None

    @property
    def masks_lookups(self) -> bool:
        """Whether it splits the rows of tables that modules of some class look up."""
        return any(row.masked_lookup for row in self.classes)

    def row_for(self, classes: Sequence[str]) -> StyledClass | None:
        """The row for a module of these classes, the nearest first; None: the style knows none of them."""
        rows = {row.class_name: row for row in self.classes}
        return next((rows[name] for name in (*classes, "*") if name in rows), None)

    def input_of(self, classes: Sequence[str]) -> Layout | None:
        """The layout of the input of a module of these classes; None: as it comes."""
        row = self.row_for(classes)
        return self.input if row is None or row.input is None else row.input


_COLWISE = (
    StyledClass("Linear", (StyleParam("weight", Shard(0)), StyleParam("bias", Shard(0)))),
    StyledClass("Embedding", (StyleParam("weight", Shard(1)),)),
    StyledClass(
        "Conv1D",
        (StyleParam("weight", Shard(1)), StyleParam("bias", Shard(0))),
        divided_attributes=("nf",),
    ),
)
_ROWWISE = (
    StyledClass(
        "Linear", (StyleParam("weight", Shard(1)), StyleParam("bias", REPLICATE, deferred_bias=True))
    ),
    StyledClass(
        "Embedding",
        (StyleParam("weight", Shard(0)),),
        REPLICATE,
        masked_lookup=True,
        row_attributes=("padding_idx",),
    ),
    StyledClass(
        "Conv1D", (StyleParam("weight", Shard(0)), StyleParam("bias", REPLICATE, deferred_bias=True))
    ),
)
_REPLICATED = (StyledClass("*", (StyleParam("*", REPLICATE),)),)

STYLES: dict[str, Style] = {
    row.name: row
    for row in (
        Style("colwise", "each rank computes some of the output features",
              _COLWISE, REPLICATE, Shard(-1)),
        Style("rowwise", "each rank takes some of the input features; the results are summed",
              _ROWWISE, Shard(-1), REPLICATE, PARTIAL),
        Style("packed_colwise", "colwise for a fused projection: each part is split separately",
              _COLWISE, REPLICATE, Shard(-1), takes_parts=True),
        Style("sequence", "full parameters, applied to a slice of the sequence",
              _REPLICATED, Shard(1), Shard(1)),
        Style("replicate", "full parameters; their gradients are summed where the module uses them with sharded values",
              _REPLICATED, None, None),
    )
}  # fmt: skip
"""Every style, by its name. Checks, proof, fixes and lowering follow this table."""


def style_with(**properties: bool) -> Style:
    """The first style with these properties, as `style_with(reduces_output=True)`."""
    return next(
        style
        for style in STYLES.values()
        if all(getattr(style, name) is value for name, value in properties.items())
    )


def style_attributes() -> set[str]:
    """The attributes of modules that some style divides."""
    return {name for style in STYLES.values() for row in style.classes for name in row.divided_attributes}


class LossKind(Record):
    """A row: how a loss is computed on an axis that splits tensors."""

    name: str
    summary: str
    splits_logits: bool
    """Whether it takes logits that stay split over the vocabulary."""


LOSSES: dict[str, LossKind] = {
    row.name: row
    for row in (
        LossKind("vocab_parallel", "cross entropy on logits that stay split over the vocabulary", True),
        LossKind(
            "whole", "any loss, on full logits: the default, and a way to override the loss of an extended plan", False
        ),
    )
}  # fmt: skip


def loss_on_split_logits() -> LossKind:
    """The loss that takes logits as a split head leaves them."""
    return next(loss for loss in LOSSES.values() if loss.splits_logits)
