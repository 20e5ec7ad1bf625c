"""A value read from a text, with the place where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

from planc.ir.diagnostic import Path
from planc.ir.source import Span

T_co = TypeVar("T_co", covariant=True)


class Node(Generic[T_co]):
    """A value, the tree it was read from, and the nodes of its fields.

    Spans are found when asked for: a plan without faults needs none.
    """

    __slots__ = ("branch", "parts", "value")

    def __init__(self, value: T_co, branch: Any, parts: Mapping[Any, Node[Any]] | None = None) -> None:
        self.value, self.branch, self.parts = value, branch, parts

    @property
    def span(self) -> Span:
        return Span(*span(self.branch))

    def find(self, path: Path) -> Span:
        """The span of the piece at a path, or of the nearest one around it."""
        node: Node[Any] = self
        spanned: Node[Any] = self
        for step in path:
            inner = node.parts.get(step) if node.parts else None
            if inner is None:
                break
            node = inner
            if node.branch is not None:
                spanned = node
        return spanned.span


def group(nodes: Iterable[Node[Any]]) -> Node[None]:
    """The node of a field that holds several: it has no place of its own."""
    return Node(None, None, dict(enumerate(nodes)))


def values(nodes: Iterable[Node[T_co]]) -> tuple[T_co, ...]:
    """What the nodes hold."""
    return tuple([node.value for node in nodes])


def span(branch: Any) -> tuple[int, int]:
    """The offsets of a token, of a tree's first and last token, or a pair of offsets itself."""
    if branch is None:
        return 0, 0
    if isinstance(branch, tuple):
        return branch
    first, last = _edge(branch, forward=True), _edge(branch, forward=False)
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
