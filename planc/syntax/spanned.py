"""A value that was read from a text, with its place there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

from planc.ir.diagnostic import FieldPath
from planc.ir.source import Span
from planc.syntax.parse_tree import tree_span

T_co = TypeVar("T_co", covariant=True)


class Spanned(Generic[T_co]):
    """A value, the syntax tree it was read from, and the same of its fields.

    A span is computed on request: a plan without errors needs none.
    """

    __slots__ = ("fields", "tree", "value")

    def __init__(self, value: T_co, tree: Any, fields: Mapping[Any, Spanned[Any]] | None = None) -> None:
        self.value, self.tree, self.fields = value, tree, fields

    @property
    def span(self) -> Span:
        return Span(*tree_span(self.tree))

    def span_at(self, path: FieldPath) -> Span:
        """The span of the piece at a path, or of the nearest one around it."""
        current: Spanned[Any] = self
        nearest: Spanned[Any] = self
        for step in path:
            inner = current.fields.get(step) if current.fields else None
            if inner is None:
                break
            current = inner
            if current.tree is not None:
                nearest = current
        return nearest.span


def spanned_items(items: Iterable[Spanned[Any]]) -> Spanned[None]:
    """A field with several values: it has no place of its own."""
    return Spanned(None, None, dict(enumerate(items)))


def spanned_values(items: Iterable[Spanned[T_co]]) -> tuple[T_co, ...]:
    """The values alone."""
    return tuple([item.value for item in items])
