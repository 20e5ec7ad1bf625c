"""A style that planc does not have, in one file with one row: colwise, and then an all-gather of the
output features, as Megatron's `ColumnParallelLinear(gather_output=True)` does it."""

from __future__ import annotations

from planc.ir.layout import REPLICATE, Shard
from planc.ir.styles import Style, StyledClass, StyleParam

ROW = Style(
    "colwise_gathered",
    "each rank computes some of the output features, and gathers the others",
    (StyledClass("Linear", (StyleParam("weight", Shard(0)), StyleParam("bias", Shard(0)))),),
    REPLICATE,
    REPLICATE,
    Shard(-1),
)
