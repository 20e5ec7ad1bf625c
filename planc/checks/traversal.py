"""Walking over all that a plan and its base plans say, whatever their conditions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from planc.ir.document import PlanPath
from planc.ir.resolved import Resolved

T = TypeVar("T")


def declared_blocks(resolved: Resolved) -> Iterator[tuple[Any, PlanPath]]:
    """Every block as it is written."""
    for document in resolved.documents:
        for i, block in enumerate(document.plan.blocks):
            yield block, PlanPath(document, ("blocks", i))


def records_of_type(resolved: Resolved, kind: type[T]) -> Iterator[tuple[T, PlanPath]]:
    """Every record of a type, at any depth, with its place."""
    for record, document, path in resolved.records_by_type.get(kind, ()):
        yield record, PlanPath(document, path)


def has_unreadable_lines(resolved: Resolved) -> bool:
    """Whether something may be declared or used in a line that could not be read."""
    return bool(resolved.unparsed_words)
