"""Walks over trees of arguments: what a call is given and what it returns, and values that are nested alike.

Inner nodes are tuples, lists and mappings; `into` names the types that a walk enters, and may add `slice`, `Dataclass`
and records that have `tree_children`. Everything else is a leaf. Walks visit the parts of a node in its own order.
A path holds the index, key or field of each level, outermost first; the path of a lone leaf is ().
"""

from __future__ import annotations

import copy
from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

TreePath = tuple[str | int, ...]
Kinds = type | tuple[type, ...]


class Dataclass(ABC):  # noqa: B024  # it has no methods: it only says what is an instance
    """All dataclasses, for `isinstance` and `into`."""

    @classmethod
    def __subclasshook__(cls, other: type) -> bool:
        return hasattr(other, "__dataclass_fields__")


CONTAINERS: tuple[type, ...] = (tuple, list, Mapping)
"""What a walk enters unless told otherwise."""
_ATOMS = frozenset((int, float, bool, str, type(None)))
"""Types that no walk enters: to ask whether a value is a Mapping takes time."""


def children(node: Any) -> Iterable[tuple[Any, Any]]:
    """The parts of a container or a record, each with its index, key or field."""
    if isinstance(node, tuple | list):
        return enumerate(node)
    if isinstance(node, Mapping):
        return node.items()
    if isinstance(node, slice):
        return (("start", node.start), ("stop", node.stop), ("step", node.step))
    if hasattr(node, "tree_children"):
        found: Iterable[tuple[Any, Any]] = node.tree_children()
        return found
    return [(field.name, getattr(node, field.name, None)) for field in fields(node)]


def rebuild(node: Any, parts: list[Any]) -> Any:
    """A container of the same type with other parts, in the order of `children`.

    Named tuples, mappings and dataclasses keep their types; other subclasses of tuple, as `torch.Size`, become tuples.
    A tuple of the very same parts is `node` itself.
    """
    if isinstance(node, tuple):
        if all(new is old for new, old in zip(parts, node, strict=True)):
            return node
        return type(node)(*parts) if hasattr(node, "_fields") else tuple(parts)
    if isinstance(node, list):
        return parts if type(node) is list else type(node)(parts)
    if isinstance(node, slice):
        return slice(*parts)
    if isinstance(node, Mapping):
        return _rebuild_mapping(node, parts)
    if hasattr(node, "tree_rebuild"):
        return node.tree_rebuild(parts)
    made = copy.copy(node)
    for field, part in zip(fields(node), parts, strict=True):
        object.__setattr__(made, field.name, part)
    return made


def _rebuild_mapping(node: Mapping[Any, Any], parts: list[Any]) -> Any:
    if type(node) is dict or not hasattr(node, "__setitem__"):
        return dict(zip(node, parts, strict=True))
    made: Any = copy.copy(node)
    for key, part in zip(node, parts, strict=True):
        made[key] = part
    return made


# ---- reading ---------------------------------------------------------------------------------


def leaves(
    tree: Any, kind: Kinds, *, into: tuple[type, ...] = CONTAINERS, max_depth: int = 1000
) -> list[Any]:
    """The leaves of some types, in order. What is of such a type is a leaf, even if it is a container.

    Args:
        tree: where to look.
        kind: the types of the leaves.
        into: the types of the nodes that are entered.
        max_depth: how many levels below `tree` are looked at: a list may hold itself.
    """
    if isinstance(tree, kind):
        return [tree]
    found: list[Any] = []
    if isinstance(tree, into):
        _collect(tree, kind, into, max_depth, found)
    return found


def _collect(node: Any, kind: Kinds, into: tuple[type, ...], depth: int, found: list[Any]) -> None:
    for part in _parts(node):
        if isinstance(part, kind):
            found.append(part)
        elif depth and type(part) not in _ATOMS and isinstance(part, into):
            _collect(part, kind, into, depth - 1, found)


def _parts(node: Any) -> Iterable[Any]:
    """The parts of a container or a record, fast for those that calls pass most."""
    if isinstance(node, tuple | list):
        return node
    if type(node) is dict:
        return node.values()
    return [part for _, part in children(node)]


def nodes(
    tree: Any, *, into: tuple[type, ...] = CONTAINERS, path: TreePath = ()
) -> Iterator[tuple[TreePath, Any]]:
    """All nodes with their paths, each container before its parts."""
    yield path, tree
    if isinstance(tree, into):
        for key, part in children(tree):
            yield from nodes(part, into=into, path=(*path, key))


def leaves_with_paths(
    tree: Any, kind: Kinds, *, into: tuple[type, ...] = CONTAINERS, path: TreePath = ()
) -> Iterator[tuple[TreePath, Any]]:
    """The leaves of some types with their paths, in order."""
    if isinstance(tree, kind):
        yield path, tree
    elif isinstance(tree, into):
        for key, part in children(tree):
            yield from leaves_with_paths(part, kind, into=into, path=(*path, key))


def get_at(tree: Any, path: TreePath, default: Any = None, *, into: tuple[type, ...] = CONTAINERS) -> Any:
    """What stands at a path; `default` where the path leads nowhere."""
    for key in path:
        if not isinstance(tree, into):
            return default
        if isinstance(tree, Mapping):
            if key not in tree:
                return default
        elif not isinstance(tree, tuple | list) or not isinstance(key, int) or key >= len(tree):
            return default
        tree = tree[key]
    return tree


def dotted(path: TreePath) -> str:
    """A path as the name of an output: `logits`, `past.0.key`; '' for a lone leaf."""
    return ".".join(map(str, path))


# ---- changing --------------------------------------------------------------------------------


def transform(
    tree: Any,
    leaf: Callable[[Any], Any],
    combine: Callable[[Any, list[Any]], Any],
    *,
    into: tuple[type, ...] = CONTAINERS,
    is_leaf: Callable[[Any, int], bool] | None = None,
    depth: int = 0,
) -> Any:
    """Turn a tree into something else, from the leaves up.

    Args:
        tree: what to turn.
        leaf: turns a leaf.
        combine: turns a node, given the node and its turned parts in order.
        into: the types of the nodes that are entered.
        is_leaf: says of a node of such a type, and how many levels below `tree` it stands, that it is a leaf.
        depth: how deep this tree stands in another one.
    """
    if not isinstance(tree, into) or (is_leaf is not None and is_leaf(tree, depth)):
        return leaf(tree)
    parts = [
        transform(part, leaf, combine, into=into, is_leaf=is_leaf, depth=depth + 1)
        for _, part in children(tree)
    ]
    return combine(tree, parts)


def with_dicts(node: Any, parts: list[Any]) -> Any:
    """As `rebuild`, with a `dict` for each mapping: what is written to a file names no class of the user."""
    return dict(zip(node, parts, strict=True)) if isinstance(node, Mapping) else rebuild(node, parts)


def map_leaves(
    tree: Any,
    kind: Kinds,
    change: Callable[[Any], Any],
    *,
    into: tuple[type, ...] = CONTAINERS,
    combine: Callable[[Any, list[Any]], Any] = rebuild,
) -> Any:
    """A copy of a tree with the leaves of some types changed; other leaves stay.

    What is of such a type is a leaf, even if it is a container. `combine` makes a container of its new parts.
    """
    if isinstance(tree, kind):
        return change(tree)
    if type(tree) in _ATOMS or not isinstance(tree, into):
        return tree
    parts = [map_leaves(part, kind, change, into=into, combine=combine) for part in _parts(tree)]
    return combine(tree, parts)


def map_leaves_with_paths(
    tree: Any,
    kind: Kinds,
    change: Callable[[TreePath, Any], Any],
    *,
    into: tuple[type, ...] = CONTAINERS,
    combine: Callable[[Any, list[Any]], Any] = rebuild,
    path: TreePath = (),
) -> Any:
    """As `map_leaves`; `change` is given the path of a leaf too."""
    if isinstance(tree, kind):
        return change(path, tree)
    if not isinstance(tree, into):
        return tree
    parts = [
        map_leaves_with_paths(part, kind, change, into=into, combine=combine, path=(*path, key))
        for key, part in children(tree)
    ]
    return combine(tree, parts)


def replace_leaves(
    tree: Any, kind: Kinds, change: Callable[[Any], Any], *, into: tuple[type, ...] = CONTAINERS
) -> Any:
    """As `map_leaves`, but a container in which no leaf changes stays the object that it is."""
    return map_leaves(tree, kind, change, into=into, combine=rebuild_changed)


def rebuild_changed(node: Any, parts: list[Any]) -> Any:
    """As `rebuild`, but `node` itself where its parts are the very same."""
    same = all(new is old for new, (_, old) in zip(parts, children(node), strict=True))
    return node if same else rebuild(node, parts)


def map_at(tree: Any, path: TreePath, kind: Kinds, change: Callable[[Any], Any]) -> Any:
    """A copy of the containers along a path, with the leaf at its end changed. `tree` itself where no leaf of these
    types stands there."""
    if not path:
        return change(tree) if isinstance(tree, kind) else tree
    key, rest = path[0], path[1:]
    if isinstance(tree, Mapping):
        if key not in tree:
            return tree
        made: Any = {**tree} if type(tree) is dict else type(tree)(tree)  # type: ignore[call-arg]
        made[key] = map_at(tree[key], rest, kind, change)
        return made
    if not isinstance(tree, tuple | list) or not isinstance(key, int) or key >= len(tree):
        return tree
    parts = [map_at(part, rest, kind, change) if i == key else part for i, part in enumerate(tree)]
    if isinstance(tree, list):
        return parts
    return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
