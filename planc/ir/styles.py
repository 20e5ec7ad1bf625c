"""The table of styles: how one module is split on an axis.

A style is one row. Names and layouts are those of torch.distributed.tensor.parallel
where it has the style.
"""

from __future__ import annotations

from typing import Literal

from planc.ir.layout import PARTIAL, REPLICATE, Layout, Shard
from planc.ir.record import Record


class StyleParam(Record):
    """How a style lays out one parameter of the modules of one class."""

    module: str
    """The class, as `Linear`; `*` is any other."""
    param: str
    layout: Layout
    deferred_bias: bool = False
    """Added once, after the sum that the module leaves to its boundary."""


class Style(Record):
    """One row."""

    name: str
    summary: str
    params: tuple[StyleParam, ...]
    input: Layout | None
    """What the module takes; None: as it comes."""
    output: Layout | None
    """What it gives after the communication that is its own; None: as it comes."""
    local_output: Layout | None = None
    """What its computation leaves before that, where it is not `output`."""
    input_by_class: tuple[tuple[str, Layout], ...] = ()
    """Classes that take something other than `input`."""
    divided_attributes: tuple[tuple[str, str], ...] = ()
    """Attributes, by class, that count what is split: each rank's module gets its share."""
    parts: Literal["none", "one or more"] = "none"
    """What it takes in brackets."""
    masked_lookup: tuple[str, ...] = ()
    """Classes that look up rows of a table, which the ranks share: each rank returns zeros for rows that
    it lacks, and the sum of all ranks' results is right."""


_COLWISE = (
    StyleParam("Linear", "weight", Shard(0)),
    StyleParam("Linear", "bias", Shard(0)),
    StyleParam("Embedding", "weight", Shard(1)),
    StyleParam("Conv1D", "weight", Shard(1)),
    StyleParam("Conv1D", "bias", Shard(0)),
)
_ROWWISE = (
    StyleParam("Linear", "weight", Shard(1)),
    StyleParam("Linear", "bias", REPLICATE, deferred_bias=True),
    StyleParam("Embedding", "weight", Shard(0)),
    StyleParam("Conv1D", "weight", Shard(0)),
    StyleParam("Conv1D", "bias", REPLICATE, deferred_bias=True),
)
_WIDTHS = (("Conv1D", "nf"),)
_WHOLE = (StyleParam("*", "*", REPLICATE),)

STYLES = {
    style.name: style
    for style in (
        Style("colwise", "each rank computes some of the output features",
              _COLWISE, REPLICATE, Shard(-1), divided_attributes=_WIDTHS),
        Style("rowwise", "each rank takes some of the input features; the results are summed",
              _ROWWISE, Shard(-1), REPLICATE, PARTIAL, (("Embedding", REPLICATE),), masked_lookup=("Embedding",)),
        Style("packed_colwise", "colwise for a fused projection: each part is cut by itself",
              _COLWISE, REPLICATE, Shard(-1), parts="one or more", divided_attributes=_WIDTHS),
        Style("sequence", "whole parameters, applied to a slice of the sequence",
              _WHOLE, Shard(1), Shard(1)),
        Style("replicate", "whole parameters; their gradients are summed where the use is sharded",
              _WHOLE, None, None),
    )
}  # fmt: skip


class LossKind(Record):
    """A row: how a loss is computed on a tensor axis."""

    name: str
    summary: str
    splits_logits: bool
    """Whether it takes logits that stay split over the vocabulary."""


LOSSES = {
    row.name: row
    for row in (
        LossKind("vocab_parallel", "cross entropy on logits that stay split over the vocabulary", True),
        LossKind(
            "whole",
            "any loss, on whole logits: as without this line, or against that of an extended plan",
            False,
        ),
    )
}
