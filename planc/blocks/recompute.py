"""`recompute { ... }`: activation checkpointing, a region a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from planc.blocks.lines import Line, call, only, read_entries, rest, write_removes
from planc.ir.expr import Expr
from planc.ir.node import Node, group, values
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.ir.scalar import TextLine

if TYPE_CHECKING:
    from planc.text.reader import Call, Reader

MODES = {
    "full": "keep nothing but the inputs of the module",
    "save": "keep the results of the kinds of operation named, recompute the rest",
}
SAVED = {
    "matmul": "matrix products",
    "attention": "fused attention",
    "collective": "results of communication",
}
"""Kinds of operation that `save(...)` may keep."""


class Recompute(Record):
    """Modules whose forward pass is run again in the backward pass."""

    pattern: Pattern
    mode: TextLine | None = None
    """`full`, the default, or `save`."""
    save: tuple[TextLine, ...] = ()
    """What mode `save` keeps."""
    when: Expr | None = None
    """Where this is false, the line is not there."""
    override: bool = False
    """Take the place of an earlier line for the modules that both name."""


class RecomputeBlock(Record):
    """Activation checkpointing."""

    regions: tuple[Recompute, ...] = ()
    remove: tuple[Pattern, ...] = ()
    """Regions of the extended plan to drop, by their pattern."""
    kind: Literal["recompute"] = "recompute"


def read(branch: Any, reader: Reader) -> Node[RecomputeBlock]:
    entries = read_entries(branch, reader, {"region": _region})
    regions, remove = entries["region"], entries["remove"]
    parts = {"regions": group(regions), "remove": group(remove)}
    return Node(RecomputeBlock(values(regions), values(remove)), branch, parts)


def _region(branch: Any, reader: Reader, override: bool) -> Node[Recompute] | None:
    pattern = reader.pattern(branch.children[0])
    calls = [reader.call(child) for child in branch.children[1:-1]]
    when = reader.when(branch.children[-1])
    for extra in calls[1:]:
        reader.fault("R304", extra.branch, "a region takes one mode", "", "needed: full, or save(...)")
    if pattern is None:
        return None
    parts: dict[str, Node[Any]] = {"pattern": pattern}
    mode, save = None, []
    if calls:
        mode = str(calls[0].name)
        save = _saved(calls[0], reader)
        parts |= {"mode": reader.name(calls[0].name), "save": group(save)}
    if when:
        parts["when"] = when
    region = Recompute(pattern.value, mode, values(save), when.value if when else None, override)
    return Node(region, branch, parts)


def _saved(mode: Call, reader: Reader) -> list[Node[str]]:
    names = []
    for item in mode.items or ():
        value = item.value
        if item.key is None and item.after is None and getattr(value, "data", "") == "call":
            names.append(reader.name(value.children[0]))  # type: ignore[union-attr, arg-type]
        else:
            reader.fault("R304", item.branch, f"'{mode.name}' takes names", "", "needed: as save(matmul)")
    return names


def holding(records: Sequence[Record]) -> RecomputeBlock:
    return RecomputeBlock(only(records, Recompute), only(records, Pattern))


def write(block: RecomputeBlock) -> tuple[str, list[Line]]:
    return "recompute", [*write_removes(block.remove), *map(write_region, block.regions)]


def write_region(region: Recompute) -> Line:
    mode = call(region.mode or "", region.save) or region.mode or ""
    return Line((str(region.pattern), rest(mode, when=region.when)), region.override)
