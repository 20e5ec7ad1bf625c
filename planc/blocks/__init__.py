"""The kinds of block: one file and one row each.

A file holds the records of its kind, `read` (syntax tree to records) and `write`
(records to lines). To add a kind, write its file, give it a rule in
`grammar/plan.lark`, and add it to `Block` and `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from planc.blocks import compile as compile_
from planc.blocks import fsdp, recompute, tensor
from planc.blocks.compile import CompileBlock
from planc.blocks.fsdp import FsdpBlock
from planc.blocks.lines import Line
from planc.blocks.recompute import RecomputeBlock
from planc.blocks.tensor import TensorBlock
from planc.ir.node import Node
from planc.ir.record import Record
from planc.ir.scalar import Tagged

Block = Annotated[TensorBlock | FsdpBlock | RecomputeBlock | CompileBlock, Tagged("kind")]


class Kind(Record):
    """A row: how blocks of a kind are read and written, and what they hold."""

    read: Callable[[Any, Any], Node[Any]]
    write: Callable[[Any], tuple[str, list[Line]]]
    entries: str
    """The field that holds what it says of modules, each with a pattern or patterns."""
    holding: Callable[[Any], Any]
    """A block that holds one record alone, whichever of its fields the record is for."""
    axes: tuple[str, ...] = ()
    """Its fields that name an axis; blocks of one axis exclude each other."""


KINDS = {
    "tensor": Kind(tensor.read, tensor.write, "rules", tensor.holding, ("axis",)),
    "fsdp": Kind(fsdp.read, fsdp.write, "units", fsdp.holding, ("axis", "replicate")),
    "recompute": Kind(recompute.read, recompute.write, "regions", recompute.holding),
    "compile": Kind(compile_.read, compile_.write, "targets", compile_.holding),
}
