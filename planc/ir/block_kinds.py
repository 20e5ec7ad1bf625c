"""The kinds of block: a row each. Stages ask the row, never the name of a kind.

To add a kind, write its records, its codec (how its text is read and written), and its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum
from typing import Any

from planc.ir.blocks import (
    Compile,
    CompileBlock,
    Entry,
    FsdpBlock,
    Recompute,
    RecomputeBlock,
    Rule,
    TensorBlock,
    Unit,
)
from planc.ir.record import Record

SettingValues = Mapping[str, tuple[str | bool, ...] | None]
"""The settings of a kind of block, and the values that each takes; None: any name."""

Reference = str
"""A function or table of a later stage, as `package.module:NAME`: `planc.reference.load_reference` finds it
when that stage runs, so that a row costs nothing before."""


class AxisRole(Enum):
    """What the ranks along the axis of a block share among themselves."""

    SPLITS_TENSORS = "splits tensors"
    """Dims of parameters and activations; the entries of the block are `Rule`s."""
    SPLITS_BATCH = "splits the batch"
    """Entries of the batch; every rank computes with all parameters."""
    SPLITS_SEQUENCE = "splits the sequence"
    SPLITS_EXPERTS = "splits experts"
    SPLITS_LAYERS = "splits layers"


class ApplyOrder(IntEnum):
    """When the instructions of a kind of block are carried out: each wraps or changes what earlier ones left. Torch
    needs this order: a recomputed region contains local parameters, a compiled region contains its
    recomputation, and FSDP2 shards what tensor axes left."""

    SPLIT_TENSORS = 0
    RECOMPUTE = 1
    COMPILE = 2
    SHARD_UNITS = 3


class BlockKind(Record):
    """A row: all that the stages ask about a kind of block."""

    name: str
    """The keyword that the block begins with, and `kind` in the data form."""
    record: type[Record]
    entry: type[Entry]
    """The type of its entries."""
    entries_field: str
    """The field that holds the entries."""
    entry_noun: str
    """What messages call the entries, in the plural."""
    codec: Reference
    """A `planc.syntax.blocks.block_codec.BlockCodec`."""
    never_called: str
    """What an entry fails to do for a module that the model never calls, as messages say it."""
    axis_fields: tuple[str, ...] = ()
    """The fields that name an axis; the first names the axis that `axis_role` is about."""
    axis_role: AxisRole | None = None
    settings: Mapping[str, tuple[str | bool, ...] | None] = {}
    """The settings that the block takes, and the values of each."""
    inline: bool = False
    """Whether a block with one entry is written on one line."""
    nesting: tuple[str, str] | None = None
    """For kinds whose modules should not lie inside each other: how a message says that they do, and
    what that costs."""
    lowering: Reference | None = None
    """How a block is lowered: see `planc.lower.lower_plan`. None: planc cannot apply such blocks yet."""
    application: Reference | None = None
    """How its instructions are carried out: a function (model, lowered, mesh), see
    `planc.torch.apply.apply_lowered`. None: planc cannot apply such blocks yet."""
    apply_order: ApplyOrder = ApplyOrder.SPLIT_TENSORS
    forecast: Reference | None = None
    """The collectives of a block: see `planc.forecast.collectives`. None: there are none."""


_DTYPES = ("bf16", "fp16", "fp32")

_ROWS = (
    BlockKind(
        name="tensor",
        record=TensorBlock,
        entry=Rule,
        entries_field="rules",
        entry_noun="rules",
        codec="planc.syntax.blocks.tensor_block:CODEC",
        never_called="nothing passes this boundary",
        axis_fields=("axis",),
        axis_role=AxisRole.SPLITS_TENSORS,
        settings={
            "overlap": (True, False),  # whether matrix products overlap the gathers of their operands
        },
        lowering="planc.lower.tensor_parallel:lower_tensor",
        application="planc.torch.apply.tensor_parallel:apply_tensor_axes",
        apply_order=ApplyOrder.SPLIT_TENSORS,
        forecast="planc.forecast.tensor_collectives:tensor_collectives",
    ),
    BlockKind(
        name="fsdp",
        record=FsdpBlock,
        entry=Unit,
        entries_field="units",
        entry_noun="units",
        codec="planc.syntax.blocks.fsdp_block:CODEC",
        never_called="this unit is never gathered",
        axis_fields=("axis", "replicate"),
        axis_role=AxisRole.SPLITS_BATCH,
        settings={  # torch's MixedPrecisionPolicy and OffloadPolicy
            "params": _DTYPES,  # dtype in which parameters are gathered and used
            "reduce": _DTYPES,  # dtype in which gradients are reduced
            "output": _DTYPES,  # dtype of a unit's outputs
            "offload": ("cpu", "none"),  # where shards rest between uses
        },
        lowering="planc.lower.fsdp_units:lower_fsdp",
        application="planc.torch.apply.fsdp:apply_fsdp",
        apply_order=ApplyOrder.SHARD_UNITS,
        forecast="planc.forecast.fsdp_collectives:fsdp_collectives",
    ),
    BlockKind(
        name="recompute",
        record=RecomputeBlock,
        entry=Recompute,
        entries_field="regions",
        entry_noun="lines",
        codec="planc.syntax.blocks.recompute_block:CODEC",
        never_called="nothing is recomputed",
        inline=True,
        nesting=("a recomputed module inside a recomputed one", "cost: the inner one runs a third time"),
        lowering="planc.lower.regions:lower_recompute",
        application="planc.torch.apply.checkpointing:apply_recompute",
        apply_order=ApplyOrder.RECOMPUTE,
    ),
    BlockKind(
        name="compile",
        record=CompileBlock,
        entry=Compile,
        entries_field="targets",
        entry_noun="lines",
        codec="planc.syntax.blocks.compile_block:CODEC",
        never_called="nothing is compiled",
        settings={  # arguments of torch.compile
            "mode": ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"),
            "backend": None,  # the installed torch knows which there are
            "dynamic": (
                True,
                False,
            ),  # whether sizes may change without compiling anew; by default torch decides
            "fullgraph": (True, False),  # whether a module that is not one graph is an error
        },
        inline=True,
        nesting=("a compiled module inside a compiled one", "cost: none; the inner line does nothing"),
        lowering="planc.lower.regions:lower_compile",
        application="planc.torch.apply.compile:apply_compile",
        apply_order=ApplyOrder.COMPILE,
    ),
)

BLOCK_KINDS: dict[str, BlockKind] = {row.name: row for row in _ROWS}
"""Every kind of block, by its name. Grammar, schema, messages and all stages follow this table."""


def row_of(block: Any) -> BlockKind:
    """The row of a block, as written or resolved."""
    return BLOCK_KINDS[block.kind]


class AnyBlock:
    """Marks the type of a block: pydantic reads any kind that has a row, by the field `kind`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from typing import Union

        from pydantic import Discriminator

        records = tuple(row.record for row in BLOCK_KINDS.values())
        return Discriminator("kind").__get_pydantic_core_schema__(Union[records], handler)  # noqa: UP007
