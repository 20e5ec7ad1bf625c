"""A value read from a text, with the place where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

from planc.ir.diagnostic import FieldPath
from planc.ir.source import Span
from planc.syntax.parse_tree import tree_span

T_co = TypeVar("T_co", covariant=True)


class Spanned(Generic[T_co]):
    """A value, the tree it was read from, and the nodes of its fields.

    Spans are found when asked for: a plan without faults needs none.
    """

    __slots__ = ("fields", "tree", "value")

    def __init__(self, value: T_co, branch: Any, parts: Mapping[Any, Spanned[Any]] | None = None) -> None:
        self.value, self.tree, self.fields = value, branch, parts

    @property
    def span(self) -> Span:
        return Span(*tree_span(self.tree))

    def span_at(self, path: FieldPath) -> Span:
        """The span of the piece at a path, or of the nearest one around it."""
        node: Spanned[Any] = self
        spanned: Spanned[Any] = self
        for step in path:
            inner = node.fields.get(step) if node.fields else None
            if inner is None:
                break
            node = inner
            if node.tree is not None:
                spanned = node
        return spanned.span


def spanned_items(nodes: Iterable[Spanned[Any]]) -> Spanned[None]:
    """The node of a field that holds several: it has no place of its own."""
    return Spanned(None, None, dict(enumerate(nodes)))


def spanned_values(nodes: Iterable[Spanned[T_co]]) -> tuple[T_co, ...]:
    """What the nodes hold."""
    return tuple([node.value for node in nodes])
