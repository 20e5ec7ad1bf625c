"""A plan after resolution: base plans merged, options and mesh sizes fixed, lets and conditions expanded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from planc.ir.block_kinds import BLOCK_KINDS, AxisRole, BlockKind
from planc.ir.blocks import Entry
from planc.ir.diagnostic import Diagnostic, SkippedCheck
from planc.ir.document import Document, PlanPath
from planc.ir.expr import ExprValue
from planc.ir.layout import Layout
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.ir.record_index import IndexedRecord, index_records
from planc.ir.styles import LOSSES

MAX_DEVICES = 10_000_000
"""Devices of a mesh, and of one axis."""


class Settings(Record):
    """What the user gives besides the plan."""

    axis_sizes: Mapping[str, int] = {}
    """Devices along an axis, by its name."""
    world_size: int | None = None
    """Devices in all."""
    gpus_per_node: int | None = None
    options: Mapping[str, ExprValue] = {}
    idle_accepts: bool = False
    """Whether a statement that accepts a violation may find none, as where the model is not in training."""


class Located(Record):
    """A record of a plan, with its place."""

    value: Any
    location: PlanPath


class ResolvedAxis(Record):
    """An axis of the mesh; its size is None where neither the plan nor the user gives one."""

    name: str
    size: int | None
    location: PlanPath


class ResolvedBlock(Record):
    """A block after `extends`, `let`, `when`, `override` and `remove`."""

    kind: str
    axes: tuple[Located, ...]
    """The names of its axes: its own, then the one it replicates over."""
    entries: tuple[Located, ...]
    """Rules, units, regions: patterns and layouts without let names, conditions that
    hold taken out. A condition still there needs the model."""
    settings: tuple[Located, ...]
    loss: Located | None
    location: PlanPath

    @property
    def row(self) -> BlockKind:
        """All that is known of blocks of this kind."""
        return BLOCK_KINDS[self.kind]

    @property
    def splits_tensors(self) -> bool:
        """Whether the ranks along its axis share dims of parameters and activations."""
        return self.row.axis_role is AxisRole.SPLITS_TENSORS

    @property
    def splits_batch(self) -> bool:
        """Whether the ranks along its axis share the batch."""
        return self.row.axis_role is AxisRole.SPLITS_BATCH

    @property
    def splits_logits(self) -> bool:
        """Whether the loss takes logits that stay split over the vocabulary."""
        return self.loss is not None and LOSSES[self.loss.value.style].splits_logits


class Resolved(Record):
    """The plan that a mesh and a set of options select."""

    name: str | None
    model: Located | None
    documents: tuple[Document, ...]
    """The plan's own, then the one it extends, and so on."""
    axes: tuple[ResolvedAxis, ...]
    options: Mapping[str, Located]
    values: Mapping[str, ExprValue]
    """The values of names in expressions: options, and axes that have a size."""
    lets: Mapping[str, Located]
    patterns: Mapping[str, Pattern]
    """Pattern lets, by name, without let names in them."""
    layouts: Mapping[str, Layout | None]
    """Layout lets, by name; None where the condition needs the model."""
    requires: tuple[Located, ...]
    accepts: tuple[Located, ...]
    """Accepted violations: patterns without let names."""
    blocks: tuple[ResolvedBlock, ...]
    unparsed_words: frozenset[str]
    """Words of lines that could not be read: names that may be declared there."""
    diagnostics: tuple[Diagnostic, ...]
    skipped: tuple[SkippedCheck, ...]

    @cached_property
    def records_by_type(self) -> Mapping[type, list[IndexedRecord]]:
        """All records of the documents, whatever their conditions, by their type."""
        return index_records(self.documents)

    @cached_property
    def axis_sizes(self) -> Mapping[str, int | None]:
        """The size of each axis, by its name; None: it has none."""
        return {axis.name: axis.size for axis in self.axes}

    def blocks_of(self, *entries: type[Entry]) -> Iterator[tuple[int, ResolvedBlock]]:
        """The blocks whose entries are of one of these types, by number."""
        for number, block in enumerate(self.blocks):
            if issubclass(block.row.entry, entries):
                yield number, block

    def active_blocks_of(self, *entries: type[Entry]) -> Iterator[tuple[int, ResolvedBlock]]:
        """Those of them that do something: on axes of one rank a block does nothing."""
        for number, block in self.blocks_of(*entries):
            if any(self.axis_sizes.get(axis.value) != 1 for axis in block.axes):
                yield number, block

    def tensor_blocks(self) -> Iterator[tuple[int, ResolvedBlock]]:
        """The blocks whose ranks share dims of tensors, by number."""
        return ((number, block) for number, block in enumerate(self.blocks) if block.splits_tensors)
