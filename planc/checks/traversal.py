"""Everything that a plan and its base plans declare, whatever the conditions are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from planc.ir.document import PlanPath
from planc.ir.resolved import Resolved

T = TypeVar("T")


def declared_blocks(resolved: Resolved) -> Iterator[tuple[Any, PlanPath]]:
    """Every block as it is written, with its place."""
    for document in resolved.documents:
        for i, block in enumerate(document.plan.blocks):
            yield block, PlanPath(document, ("blocks", i))


def records_of_type(resolved: Resolved, kind: type[T]) -> Iterator[tuple[T, PlanPath]]:
    """Every record of a type, at any depth, with its place."""
    for record, document, path in resolved.records_by_type.get(kind, ()):
        yield record, PlanPath(document, path)


def has_unreadable_lines(resolved: Resolved) -> bool:
    """Whether a line that planc could not read may declare or use a name."""
    return bool(resolved.unparsed_words)
