"""A value read from a text, with the place where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

from planc.ir.diagnostic import FieldPath
from planc.ir.source import Span

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


def tree_span(tree: Any) -> tuple[int, int]:
    """The offsets of a token, of a tree's first and last token, or a pair of offsets itself."""
    if tree is None:
        return 0, 0
    if isinstance(tree, tuple):
        return tree
    first, last = _edge(tree, forward=True), _edge(tree, forward=False)
    return (0, 0) if first is None else (first.start_pos, last.end_pos)


def _edge(branch: Any, *, forward: bool) -> Any:
    """The first or last token below a tree; trees may be deep, and some are empty."""
    pending = [branch]
    while pending:
        branch = pending.pop()
        children = getattr(branch, "children", None)
        if children is None:
            return branch
        pending.extend(reversed(children) if forward else children)
    return None
