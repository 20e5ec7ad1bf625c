"""A kind of block that planc does not have, in one file with one row: `ddp AXIS { ... }`, as
`torch.nn.parallel.DistributedDataParallel` averages gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from planc.ir.block_kinds import AxisRole, BlockKind
from planc.ir.blocks import Entry, Setting
from planc.ir.expr import Expr
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.ir.scalar import Identifier
from planc.syntax.blocks.block_codec import BlockCodec
from planc.syntax.blocks.block_settings import decode_settings, encode_settings
from planc.syntax.blocks.entries import EntryLine, decode_entries, encode_removes, last_cell, records_of
from planc.syntax.spanned import Spanned, spanned_items, spanned_values
from planc.syntax.tree_reader import TreeReader


class Replica(Record, Entry):
    """Modules whose gradients are averaged over the axis."""

    pattern: Pattern
    when: Expr | None = None
    override: bool = False


class DdpBlock(Record):
    """Data parallelism with a replica of all parameters on every rank."""

    axis: Identifier
    settings: tuple[Setting, ...] = ()
    replicas: tuple[Replica, ...] = ()
    remove: tuple[Pattern, ...] = ()
    kind: Literal["ddp"] = "ddp"


GRAMMAR = r"""
ddp: _DDP NAME LBRACE _replicas RBRACE
_replicas: _replica? | _replicas _NEWLINE _replica?
_replica: replica | settings | override_replica | remove
override_replica: _OVERRIDE (replica | settings)
replica: PATTERN when

_DDP.2: /ddp\b/
"""


def decode_ddp(tree: Any, reader: TreeReader) -> Spanned[DdpBlock]:
    axis = reader.name(tree.children[0])
    entries = decode_entries(tree, reader, {"replica": _decode_replica, "settings": decode_settings})
    settings = [setting for line in entries["settings"] for setting in line.value]
    replicas, remove = entries["replica"], entries["remove"]
    fields = {
        "axis": axis,
        "settings": spanned_items(settings),
        "replicas": spanned_items(replicas),
        "remove": spanned_items(remove),
    }
    block = DdpBlock(axis.value, spanned_values(settings), spanned_values(replicas), spanned_values(remove))
    return Spanned(block, tree, fields)


def _decode_replica(tree: Any, reader: TreeReader, override: bool) -> Spanned[Replica] | None:
    pattern, when = reader.pattern(tree.children[0]), reader.when(tree.children[1])
    if pattern is None:
        return None
    fields: dict[str, Spanned[Any]] = {"pattern": pattern} | ({"when": when} if when else {})
    return Spanned(Replica(pattern.value, when.value if when else None, override), tree, fields)


def encode_ddp(block: DdpBlock) -> tuple[str, list[EntryLine]]:
    replicas = [
        EntryLine((str(each.pattern), last_cell(when=each.when)), each.override) for each in block.replicas
    ]
    return f"ddp {block.axis}", [*encode_removes(block.remove), *encode_settings(block.settings), *replicas]


def ddp_from_records(records: Sequence[Record]) -> DdpBlock:
    return DdpBlock(
        "", records_of(records, Setting), records_of(records, Replica), records_of(records, Pattern)
    )


CODEC = BlockCodec(GRAMMAR, decode_ddp, encode_ddp, ddp_from_records)

ROW = BlockKind(
    name="ddp",
    record=DdpBlock,
    entry=Replica,
    entries_field="replicas",
    entry_noun="replicas",
    codec="tests.rows.ddp_block:CODEC",
    never_called="its gradients are never averaged",
    axis_fields=("axis",),
    axis_role=AxisRole.SPLITS_BATCH,
    settings={"static_graph": (True, False)},
)
