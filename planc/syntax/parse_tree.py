"""Syntax trees: lark's, and where they begin and end in the text."""

from __future__ import annotations

from typing import Any

from lark import Token, Tree

ParseTree = Tree[Token]


def tree_span(tree: Any) -> tuple[int, int]:
    """The offsets of a token, of a tree's first and last token, or a pair of offsets itself."""
    if tree is None:
        return 0, 0
    if isinstance(tree, tuple):
        return tree
    first, last = _edge_token(tree, forward=True), _edge_token(tree, forward=False)
    return (0, 0) if first is None else (first.start_pos, last.end_pos)


def _edge_token(tree: Any, *, forward: bool) -> Any:
    """The first or last token below a tree; trees may be deep, and some are empty."""
    pending = [tree]
    while pending:
        tree = pending.pop()
        children = getattr(tree, "children", None)
        if children is None:
            return tree
        pending.extend(reversed(children) if forward else children)
    return None
