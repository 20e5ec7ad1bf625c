"""Trees of mappings, lists and tuples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def map_leaves(tree: Any, kind: type | tuple[type, ...], change: Callable[[Any], Any]) -> Any:
    """A copy of a tree with its leaves of some types changed; other leaves stay as they are."""
    if isinstance(tree, kind):
        return change(tree)
    if isinstance(tree, Mapping):
        return {key: map_leaves(value, kind, change) for key, value in tree.items()}
    if isinstance(tree, list) or type(tree) is tuple:
        return type(tree)(map_leaves(value, kind, change) for value in tree)
    return tree
