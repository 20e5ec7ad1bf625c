"""Every cause, place and redundancy has a sentence, and all its fields are in its template or unused on purpose."""

from __future__ import annotations

from typing import get_args

import pytest

from planc.ir.laws import law_by_code
from planc.ir.layout import Shard
from planc.proof import sentences
from planc.proof.result import GatheredLogits, GatherThenSlice, ProgramPoint, Redundancy, RepeatedGather
from planc.proof.sentences import (
    HEADLINES,
    REDUNDANCY_HEADLINES,
    describe_cause,
    describe_point,
    describe_redundancy,
)
from planc.proof.types import REPLICATED, NumberSource, local_index, packed_shard, sharded
from planc.proof.unproved import SIDE_EFFECTS, Assumption, NumberEscapes, Unproved
from planc.proof.violations import (
    ArrivingLayout,
    Cause,
    DifferentDims,
    DimUse,
    Entries,
    FullDimNeeded,
    FusedSlice,
    LayoutLaw,
    LiteralSize,
    LocalIndexUsed,
    PartialOperand,
    PartialUse,
    SizeRead,
    SliceBounds,
    UnreducedGradient,
)

SIZE = NumberSource("size", sharded(1), 1)


def test_every_cause_has_a_sentence() -> None:
    own = {PartialOperand, SizeRead}
    causes = {*Cause.__subclasses__(), *Unproved.__subclasses__()} - {Unproved}
    assert causes - own == set(sentences._SENTENCES)
    assert set(sentences._SIDE_EFFECTS) == set(SIDE_EFFECTS)
    assert set(sentences._ASSUMPTIONS) == set(get_args(Assumption))
    assert set(sentences._PARTIAL) == set(get_args(PartialUse))
    assert set(sentences._DIM_USES) == set(get_args(DimUse))
    assert set(sentences._REDUNDANCIES) == set(REDUNDANCY_HEADLINES) == set(get_args(Redundancy))


def test_every_law_has_a_headline() -> None:
    assert set(HEADLINES) == set(get_args(LayoutLaw))
    for code, _ in (*HEADLINES.values(), *REDUNDANCY_HEADLINES.values()):
        assert law_by_code(code).stage == "proof"


def test_templates_name_fields_of_their_record() -> None:
    phrases = {
        "why",
        "joined_types",
        "counted",
        "number",
        "what",
        "verb",
        "use",
        "what_happens",
        "how",
        "instead",
    }
    for record, templates in (*sentences._SENTENCES.items(), *sentences._REDUNDANCIES.items()):
        fields = dict.fromkeys((*record._names, *phrases), _Anything())
        for template in templates:
            template.format_map(fields)


class _Anything:
    """A value of any field."""

    dim = 1

    def __format__(self, _: str) -> str:
        return "?"


@pytest.mark.parametrize(
    ("cause", "got"),
    [
        (LiteralSize(2, 4, 2), "the code sets the size of dim 2 to 4, where a rank has 2"),
        (FusedSlice(Entries(0, 4), 12, sharded(2)), "entries 0 to 4 of 12 are taken from dim 2, which is shard(2)"),
        (SliceBounds(Entries(0, 8), 1, Entries(0, 4), Entries(0, 8), is_literal=True),
         "entries 0 to 8 of dim 1 are local entries 0 to 4 on a rank; the code takes entries 0 to 8"),
        (PartialOperand("cast", "bfloat16"), "a partial value is rounded to bfloat16"),
        (FullDimNeeded(sharded(2), "softmax"), "an operand is shard(2), and softmax sums along that dim"),
        (DifferentDims((sharded(0), sharded(1))), "shard(0) with shard(1)"),
        (UnreducedGradient((16, 4), "partial"), "a replicated value of shape (16, 4) is used with one that is partial"),
        (ArrivingLayout(REPLICATED, Shard(1)), "replicate (gradient: partial) arrives"),
        (SizeRead(SIZE, 8, 4, in_argument=True),
         "the size of dim 1 of a value that is shard(1): 4 on a rank, 8 in the whole model"),
        (SizeRead(None, 8, None, in_argument=False), "a number that the code computes from sizes"),
        (SizeRead(NumberSource("attribute", attribute="heads"), 8, 4, in_argument=True),
         "the attribute heads: 4 on a rank, 8 in the whole model"),
        (NumberEscapes(NumberSource("numel", packed_shard(1, (4, 4)))),
         "the code turns the number of elements of a value that is packed shard(1) into a plain number, "
         "and planc cannot follow its uses"),
        (LocalIndexUsed(local_index(0, 8, NumberSource("size", sharded(1)))),
         "positions that each rank counts from its own start, up to the size of a value that is shard(1)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Cause) else "",
)  # fmt: skip
def test_sentences(cause: Cause, got: str) -> None:
    assert describe_cause(cause).got == got


def test_points() -> None:
    assert describe_point(ProgramPoint("operation", "add", (sharded(1), REPLICATED))) == (
        "add(shard(1), replicate (gradient: partial))"
    )
    assert describe_point(ProgramPoint("operation", "opaque")) == "opaque"
    assert describe_point(ProgramPoint("port", "input 0")) == "input 0"
    assert describe_point(ProgramPoint("result", "logits")) == "the model's result 'logits'"
    assert describe_point(ProgramPoint("parameter", "weight")) == "the parameter weight"
    assert describe_point(ProgramPoint("branch")) == "a branch of the model's code"


def test_redundancies() -> None:
    assert "saves 2,048 bytes" in describe_redundancy(RepeatedGather(3, "all_gather", "forward", 2048)).needed
    assert "along dim 1" in describe_redundancy(GatherThenSlice(1, 64)).got
    assert "shard(2)" in describe_redundancy(GatheredLogits(2, 64)).needed
