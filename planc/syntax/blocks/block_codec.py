"""What reads and writes the text of one kind of block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from planc.ir.block_kinds import BLOCK_KINDS
from planc.ir.record import Record
from planc.reference import load_reference
from planc.syntax.blocks.entries import EntryLine
from planc.syntax.spanned import Spanned


class BlockCodec(Record):
    """The text of one kind of block, both ways."""

    grammar: str
    """Rules of lark for the block, named as its kind, and for its entries. They may use those of
    `grammar/plan.lark`, which this text is added to."""
    decode: Callable[[Any, Any], Spanned[Any]]
    """From the syntax tree of the block and a TreeReader to the block, with spans."""
    encode: Callable[[Any], tuple[str, list[EntryLine]]]
    """From the block to its first line, without the brace, and the lines of its entries."""
    from_records: Callable[[Sequence[Record]], Any]
    """A block that holds some records, each in the field that it is for."""


def codec_of(kind: str) -> BlockCodec:
    """The codec of a kind of block, by its row."""
    codec: BlockCodec = load_reference(BLOCK_KINDS[kind].codec)
    return codec
