"""The kinds of block: one file and one row each.

A file holds the records of its kind, `read` (syntax tree to records), `write` (records to
lines) and `holding` (a block of given records). To add a kind, write its file, give it a rule
in `grammar/plan.lark`, and add it to `Block` and `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from planc.ir.record import Record
from planc.ir.scalar import TaggedUnion
from planc.syntax.blocks import compile_block as compile_
from planc.syntax.blocks import fsdp_block, recompute_block, tensor_block
from planc.syntax.blocks.compile_block import CompileBlock
from planc.syntax.blocks.entries import EntryLine
from planc.syntax.blocks.fsdp_block import FsdpBlock
from planc.syntax.blocks.recompute_block import RecomputeBlock
from planc.syntax.blocks.tensor_block import TensorBlock
from planc.syntax.spanned import Spanned

Block = Annotated[TensorBlock | FsdpBlock | RecomputeBlock | CompileBlock, TaggedUnion("kind")]


class BlockKind(Record):
    """A row: how blocks of a kind are read and written, and what they hold."""

    decode: Callable[[Any, Any], Spanned[Any]]
    encode: Callable[[Any], tuple[str, list[EntryLine]]]
    entries_field: str
    """The field that holds what it says of modules, each with a pattern or patterns."""
    from_records: Callable[[Sequence[Record]], Any]
    """A block of some records, each in the field that it is for."""
    entry_noun: str
    """What its entries are called in a message, in the plural."""
    axis_fields: tuple[str, ...] = ()
    """Its fields that name an axis."""
    settings: Mapping[str, tuple[str | bool, ...] | None] = {}
    """Its settings, and the values that each takes."""
    inline: bool = False
    """Whether it stands on one line when it holds one entry."""


BLOCK_KINDS = {
    "tensor": BlockKind(
        tensor_block.decode_tensor,
        tensor_block.encode_tensor,
        "rules",
        tensor_block.tensor_from_records,
        "rules",
        ("axis",),
        tensor_block.TENSOR_SETTINGS,
    ),
    "fsdp": BlockKind(
        fsdp_block.decode_fsdp,
        fsdp_block.encode_fsdp,
        "units",
        fsdp_block.fsdp_from_records,
        "units",
        ("axis", "replicate"),
        fsdp_block.FSDP_SETTINGS,
    ),
    "recompute": BlockKind(
        recompute_block.decode_recompute,
        recompute_block.encode_recompute,
        "regions",
        recompute_block.recompute_from_records,
        "lines",
        inline=True,
    ),
    "compile": BlockKind(
        compile_.decode_compile,
        compile_.encode_compile,
        "targets",
        compile_.compile_from_records,
        "lines",
        settings=compile_.COMPILE_SETTINGS,
        inline=True,
    ),
}
