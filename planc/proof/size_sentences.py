"""The English of numbers that the model's code reads, computes and writes out."""

from __future__ import annotations

from planc.proof.types import NumberSource
from planc.proof.violations import Cause, LiteralSize, SizeRead


def describe_number(source: NumberSource | None) -> str:
    """Where a number of the model's code comes from."""
    if source is None:
        return "a number that the code computes from sizes"
    if source.kind == "attribute":
        return f"the attribute {source.attribute}"
    if source.kind == "numel":
        return f"the number of elements of a value that is {source.type}"
    if source.kind == "size" and source.dim is not None:
        return f"the size of dim {source.dim} of a value that is {source.type}"
    return f"the size of a value that is {source.type}"


def describe_size_read(cause: SizeRead) -> tuple[str, str]:
    """What was found, and what is needed."""
    got = describe_number(cause.source)
    if cause.parts:
        got = f"a number from {got}"
    if cause.local_value is not None:
        got += f": {cause.local_value} on a rank, {cause.global_value} in the whole model"
    if not cause.in_argument:
        return got, "a value that is full where its size is read"
    if cause.is_mixed:
        return (
            got,
            "-1 in its place, or a number from sizes that are all the rank's own, or all the whole model's",
        )
    return got, "a number that is the same on every rank"


def describe_expression(cause: Cause, expression: str) -> str | None:
    """What is wrong with an expression of the model's code; None: the cause is not about one."""
    if isinstance(cause, SizeRead) and cause.local_value is not None:
        return f"'{expression}' is {cause.local_value} on a rank, {cause.global_value} in the whole model"
    if isinstance(cause, LiteralSize):
        return f"'{expression}' is {cause.literal}, where a rank has {cause.local_size} along dim {cause.dim}"
    return None


def describe_parts(cause: SizeRead) -> str:
    """What a number is computed from, each part with its value on a rank and in the whole model."""
    found = []
    for part in cause.parts:
        same = part.local_value == part.global_value
        value = (
            f"{part.local_value} on every rank"
            if same
            else f"{part.local_value} on a rank, of {part.global_value}"
        )
        found.append(f"{describe_number(part.source)}, {value}")
    return "; ".join(found)
