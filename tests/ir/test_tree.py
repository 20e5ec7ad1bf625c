"""Walks over trees of arguments: what is a leaf, in which order, and which containers keep their types."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from planc.ir.graph import ARGUMENT_NODES, INDEX_NODES, Slice, SymNumber, Value
from planc.ir.tree import (
    CONTAINERS,
    Dataclass,
    dotted,
    get_at,
    leaves,
    leaves_with_paths,
    map_at,
    map_leaves,
    map_leaves_with_paths,
    nodes,
    rebuild,
    replace_leaves,
    transform,
    with_dicts,
)


class Pair(NamedTuple):
    one: Any
    two: Any


@dataclass(frozen=True)
class Record:
    first: Any
    second: Any


RUNTIME = (*CONTAINERS, slice, Dataclass)
TREE: Any = {"a": [1, (2, "text")], "b": Pair(3, {"c": 4.5}), "d": None}


def test_leaves_are_in_order() -> None:
    assert leaves(TREE, int) == [1, 2, 3]
    assert leaves(TREE, (int, float)) == [1, 2, 3, 4.5]
    assert leaves(7, int) == [7]
    assert leaves("abc", int) == []
    assert leaves([Record(1, slice(2, None, 3))], int) == []
    assert leaves([Record(1, slice(2, None, 3))], int, into=RUNTIME) == [1, 2, 3]


def test_a_container_of_the_kind_is_a_leaf() -> None:
    assert leaves([Pair(1, 2), (3,)], Pair) == [Pair(1, 2)]
    assert map_leaves([Pair(1, 2), (3,)], Pair, sum) == [3, (3,)]


def test_only_the_named_containers_are_entered() -> None:
    tree = (Value(0), [Value(1)], Slice(Value(2), None, SymNumber("size", (Value(3), 1), 8)))
    assert [v.number for v in leaves(tree, Value, into=(tuple,))] == [0]
    assert [v.number for v in leaves(tree, Value)] == [0, 1]
    assert [v.number for v in leaves(tree, Value, into=INDEX_NODES)] == [0, 2]
    assert [v.number for v in leaves(tree, Value, into=ARGUMENT_NODES)] == [0, 2, 3]


def test_a_list_that_holds_itself_is_left_in_the_end() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert leaves(loop, int, max_depth=3) == [1] * 4


def test_paths() -> None:
    found = list(leaves_with_paths(TREE, (int, float)))
    assert found == [(("a", 0), 1), (("a", 1, 0), 2), (("b", 0), 3), (("b", 1, "c"), 4.5)]
    assert [dotted(path) for path, _ in found] == ["a.0", "a.1.0", "b.0", "b.1.c"]
    assert list(leaves_with_paths(7, int)) == [((), 7)]
    for path, leaf in found:
        assert get_at(TREE, path) == leaf
    assert [path for path, _ in nodes([Record(1, ())], into=RUNTIME)] == [
        (),
        (0,),
        (0, "first"),
        (0, "second"),
    ]


@pytest.mark.parametrize("path", [("x",), ("a", 2), ("a", "b"), ("d", 0), ("a", 0, 0), ("b", 1, "x")])
def test_a_path_that_leads_nowhere(path: Any) -> None:
    assert get_at(TREE, path, "nothing") == "nothing"
    assert map_at(TREE, path, int, str) == TREE


def test_a_path_may_be_limited_to_mappings() -> None:
    assert get_at({"a": [1]}, ("a", 0), into=(Mapping,)) is None
    assert get_at({"a": {"b": 1}}, ("a", "b"), into=(Mapping,)) == 1


def test_a_leaf_at_a_path_is_changed() -> None:
    made = map_at(TREE, ("b", 1, "c"), float, int)
    assert made == TREE | {"b": Pair(3, {"c": 4})}
    assert type(made["b"]) is Pair
    assert made["a"] is TREE["a"]
    assert map_at(TREE, ("a", 0), str, len) == TREE
    assert map_at((1, [2]), (1, 0), int, str) == (1, ["2"])


def test_containers_keep_their_types() -> None:
    ordered = OrderedDict(x=1)
    ordered.note = "kept"  # type: ignore[attr-defined]
    tree = [Pair(1, (2,)), ordered, defaultdict(list, y=[3]), Record(4, slice(5))]
    made = map_leaves(tree, int, lambda n: 10 * n, into=RUNTIME)
    assert made == [Pair(10, (20,)), OrderedDict(x=10), {"y": [30]}, Record(40, slice(50))]
    assert [type(part) for part in made] == [type(part) for part in tree]
    assert made[1].note == "kept"
    assert made[2]["new"] == []
    assert tree[3] == Record(4, slice(5))
    assert map_leaves(MappingProxyType({"x": 1}), int, str) == {"x": "1"}


def test_with_dicts_makes_plain_mappings() -> None:
    made = map_leaves(OrderedDict(x=Pair(1, OrderedDict())), int, str, combine=with_dicts)
    assert (made, type(made), type(made["x"]), type(made["x"].two)) == (
        {"x": Pair("1", {})},
        dict,
        Pair,
        dict,
    )


def test_a_copy_shares_no_list_and_no_mapping() -> None:
    tree = {"a": [1], "b": [{}]}
    made = map_leaves(tree, str, str)
    assert made == tree
    assert made["a"] is not tree["a"]
    assert made["b"][0] is not tree["b"][0]


def test_replacing_keeps_what_does_not_change() -> None:
    tree = {"a": ["x"], "b": [1]}
    made = replace_leaves(tree, int, str)
    assert made == {"a": ["x"], "b": ["1"]}
    assert made["a"] is tree["a"]
    assert replace_leaves(tree, float, str) is tree


def test_a_tuple_of_the_same_parts_is_the_same() -> None:
    pair, shape = Pair(1, [2]), type("Shape", (tuple,), {})((1, 2))
    assert rebuild(pair, list(pair)) is pair
    assert rebuild(shape, [1, 2]) is shape
    assert type(rebuild(shape, [3, 2])) is tuple


def test_changes_see_paths() -> None:
    made = map_leaves_with_paths({"a": [1, 2]}, int, lambda path, n: (path, n), path=("top",))
    assert made == {"a": [(("top", "a", 0), 1), (("top", "a", 1), 2)]}


def test_a_fold_goes_from_the_leaves_up() -> None:
    size = transform(TREE, lambda _: 1, lambda _, parts: sum(parts))
    assert size == 6
    depth = transform(TREE, lambda _: 0, lambda _, parts: 1 + max(parts, default=0))
    assert depth == 3
    cut = transform(
        TREE, str, lambda node, parts: (type(node).__name__, *parts), is_leaf=lambda _, depth: depth == 1
    )
    assert cut == ("dict", "[1, (2, 'text')]", "Pair(one=3, two={'c': 4.5})", "None")


def test_classes_are_no_dataclasses() -> None:
    assert isinstance(Record(1, 2), Dataclass)
    assert not isinstance(Record, Dataclass)
    assert not isinstance(1, Dataclass)
