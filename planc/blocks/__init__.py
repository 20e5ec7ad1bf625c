"""The kinds of block: one file and one row each.

A file holds the records of its kind, `read` (syntax tree to records), `write` (records to
lines) and `holding` (a block of given records). To add a kind, write its file, give it a rule
in `grammar/plan.lark`, and add it to `Block` and `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
    holding: Callable[[Sequence[Record]], Any]
    """A block of some records, each in the field that it is for."""
    noun: str
    """What its entries are called in a message, in the plural."""
    axes: tuple[str, ...] = ()
    """Its fields that name an axis."""
    settings: Mapping[str, tuple[str | bool, ...] | None] = {}
    """Its settings, and the values that each takes."""
    inline: bool = False
    """Whether it stands on one line when it holds one entry."""


KINDS = {
    "tensor": Kind(tensor.read, tensor.write, "rules", tensor.holding, "rules", ("axis",), tensor.SETTINGS),
    "fsdp": Kind(fsdp.read, fsdp.write, "units", fsdp.holding, "units", ("axis", "replicate"), fsdp.SETTINGS),
    "recompute": Kind(recompute.read, recompute.write, "regions", recompute.holding, "lines", inline=True),
    "compile": Kind(
        compile_.read,
        compile_.write,
        "targets",
        compile_.holding,
        "lines",
        settings=compile_.SETTINGS,
        inline=True,
    ),
}
