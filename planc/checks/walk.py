"""Walking over all that a plan and its base plans say, whatever their conditions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from planc.blocks import KINDS
from planc.checks import law
from planc.ir.diagnostic import Diagnostic, Fix, Label
from planc.ir.document import Place
from planc.ir.settled import Settled

T = TypeVar("T")


def broken(
    code: str,
    label: Label,
    message: str,
    *notes: str,
    others: tuple[Label, ...] = (),
    fix: Fix | None = None,
    module: str | None = None,
) -> Diagnostic:
    """A diagnostic of the law with this code."""
    return Diagnostic(law(code), message, label, others, notes, fix, module)


def blocks(settled: Settled) -> Iterator[tuple[Any, Place]]:
    """Every block as it is written."""
    for document in settled.documents:
        for i, block in enumerate(document.plan.blocks):
            yield block, Place(document, ("blocks", i))


def entries(settled: Settled, kind: str) -> Iterator[tuple[Any, Place]]:
    """Every rule, unit or region of the blocks of a kind, as it is written."""
    field = KINDS[kind].entries
    for block, place in blocks(settled):
        if block.kind == kind:
            for i, entry in enumerate(getattr(block, field)):
                yield entry, Place(place.document, (*place.path, field, i))


def of_type(settled: Settled, kind: type[T]) -> Iterator[tuple[T, Place]]:
    """Every record of a type, at any depth, with its place."""
    for record, document, path in settled.index.get(kind, ()):
        yield record, Place(document, path)


def has_broken_lines(settled: Settled) -> bool:
    """Whether something may be declared or used in a line that could not be read."""
    return bool(settled.lost)
