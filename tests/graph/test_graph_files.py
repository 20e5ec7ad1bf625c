"""Graph files: what is written is read, and whatever a file holds, reading it ends well."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import time
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from planc.graph.codec import GraphFormatError
from planc.graph.graph_reader import MAX_UNZIPPED_BYTES, graph_from_bytes, read_graph_file
from planc.graph.graph_writer import graph_to_bytes, graph_to_text, write_graph_file
from planc.ir.graph import (
    FORMAT_VERSION,
    Call,
    Function,
    ModelGraph,
    ModuleDef,
    Op,
    Slice,
    SymNumber,
    TensorInfo,
    TorchConstant,
    Value,
    WeightRef,
)

FLOAT = TensorInfo((4, 8), "float32", True)


def small() -> ModelGraph:
    """A graph with all that a graph can hold."""
    size = SymNumber("size", (Value(0), 1), 8)
    half = SymNumber("floordiv", (size, 2), 4)
    inner = Function(
        1,
        (FLOAT, FLOAT, FLOAT),
        (
            Op("linear", (Value(0), WeightRef("weight"), None), {}, (1,)),
            Op("number.compare", ("lt", half, SymNumber("attribute", ("n",), 3)), {}, ()),
            Op("number.lost", (SymNumber("size", (WeightRef("weight"), 0, "/"), 8),), {}, ()),
            Op("number.lost", (SymNumber("numel", (WeightRef("weight"), "/"), 64),), {}, ()),
            Op(
                "odd",
                (Value(1), (Slice(None, half, None), TorchConstant("...")), "text", True, -1.5, float("inf")),
                {"dtype": TorchConstant("float32"), "map": {"x": (1, (Value(0),))}},
                (2,),
            ),
        ),
        (Value(2), {"kept": Value(0)}, None),
        (2, 0),
    )
    outer = Function(
        1,
        (TensorInfo((4,), "int64"), FLOAT, FLOAT, FLOAT),
        (
            Op("embedding", (Value(0), WeightRef("a.weight")), {}, (1,)),
            Call("a", 0, (Value(1),), {"other": None}, (), (2, 3)),
            Op("add", (Value(2), WeightRef("/b.weight")), {}, ()),
        ),
        Value(2),
        (2,),
    )
    linear = ModuleDef("Linear", ("Base",), {"weight": FLOAT}, {"kept": TensorInfo((), "bool")}, {"n": 3}, {})
    model = ModuleDef("Model", (), {}, {}, {}, {"a": 0, "b": 0})
    return ModelGraph(
        "hf:Model",
        {"torch": "2.13.0"},
        {"heads": 4, "tied": True},
        {"input_ids": TensorInfo((4,), "int64")},
        (linear, model),
        (inner, outer),
        (("a.weight", "b.weight"),),
    )


DATA: dict[str, Any] = json.loads(graph_to_text(small()))


def packed(data: Any) -> bytes:
    return json.dumps(data).encode()


def test_a_graph_is_read_as_it_was_written() -> None:
    for zipped in (True, False):
        assert graph_from_bytes(graph_to_bytes(small(), zipped=zipped)) == small()


def test_the_same_graph_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    once = graph_to_bytes(small())
    monkeypatch.setattr(time, "time", lambda: 4e9)
    assert graph_to_bytes(small()) == once
    assert gzip.decompress(once).decode() == graph_to_text(small())


def test_a_file_is_written_wholly_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.graph.json.gz"
    assert write_graph_file(small(), str(path)) == path.stat().st_size
    assert read_graph_file(str(path)) == small()
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_graph_file(small(), str(path))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_an_unzipped_graph_reads_like_text(tmp_path: Path) -> None:
    write_graph_file(small(), str(tmp_path / "x.graph.json"))
    lines = (tmp_path / "x.graph.json").read_text("utf-8").splitlines()
    assert '  ["linear",["%0","@weight",null],{},[1]],' in lines
    assert max(map(len, lines)) < 250


def test_a_graph_of_another_version_is_refused() -> None:
    # In version 1 a tensor had the same number on both sides of a module's boundary.
    with pytest.raises(GraphFormatError, match=rf"version 1; planc reads version {FORMAT_VERSION}"):
        graph_from_bytes(packed({**DATA, "planc_graph": 1}))


def test_the_first_exports_are_what_is_returned() -> None:
    changed = deepcopy(DATA)
    changed["functions"][-1]["exports"] = changed["functions"][-1]["exports"][:-1] or [0]
    with pytest.raises(GraphFormatError, match="its exports do not begin with"):
        graph_from_bytes(packed(changed))


def test_a_truncated_file_is_refused() -> None:
    for data in (graph_to_bytes(small()), graph_to_bytes(small(), zipped=False)):
        for end in range(len(data) - 2):
            with pytest.raises(GraphFormatError):
                graph_from_bytes(data[:end])


def test_a_zipped_file_with_a_flipped_bit_is_refused_or_the_same() -> None:
    data = graph_to_bytes(small())
    for place in range(len(data)):
        for bit in (0, 3, 7):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            with contextlib.suppress(GraphFormatError):
                assert graph_from_bytes(bytes(changed)) == small()  # a byte of the header that says nothing


def test_a_changed_text_gives_a_graph_or_is_refused() -> None:
    chance = random.Random(7)
    text = graph_to_bytes(small(), zipped=False)
    for _ in range(1500):
        changed = bytearray(text)
        for _ in range(chance.randint(1, 4)):
            changed[chance.randrange(len(text))] = chance.choice(b'0123456789"[]{},:%@\x00\xffae-')
        try:
            graph = graph_from_bytes(bytes(changed))
        except GraphFormatError:
            continue
        assert graph_from_bytes(graph_to_bytes(graph)) == graph


WRONG = (None, True, 0, -1, 1, 7, 1 << 80, 1.5, "", "x", "%0", "%99", "@x", "'x", [], [1], [[]], {}, {"x": 1},
         {"size": ["%0", 0], "is": 3}, {"slice": [1, 2, 3]}, "float32[1]", "float32[-1]", "float32[1")  # fmt: skip


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a piece of JSON."""
    if path:
        yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_a_wrong_value_anywhere_gives_a_graph_or_is_refused(wrong: Any) -> None:
    for path in places(DATA):
        changed = deepcopy(DATA)
        at = changed
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = wrong
        try:
            graph = graph_from_bytes(packed(changed))
        except GraphFormatError:
            continue
        assert graph_from_bytes(graph_to_bytes(graph)) == graph
        assert list(graph.parameters)


def test_whatever_is_left_out_is_refused_or_empty() -> None:
    for path in places(DATA):
        changed = deepcopy(DATA)
        at = changed
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]
        with contextlib.suppress(GraphFormatError):
            graph_from_bytes(packed(changed))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not JSON"),
        (b"\x00\x01", "not JSON"),
        (b"[]", "not a graph"),
        (b"{}", "not a graph"),
        (b'{"planc_graph": 99}', "version 99"),
        (b'{"planc_graph": true}', "version True"),
        (b'{"planc_graph": "' + b"x" * 9999 + b'"}', "version 'x"),
        (b"[" * 200_000, "not JSON"),
        (b'{"planc_graph": 1, "x": NaN}', "not JSON"),
        (b'{"planc_graph": ' + b"9" * 10_000 + b"}", "not JSON"),
        (packed({"planc_graph": FORMAT_VERSION}), "damaged"),
        (gzip.compress(b"{}") + b"more", "goes on"),
        (b"\x1f\x8b" + b"\x00" * 50, "does not unzip"),
    ],
    ids=range(13),
)  # fmt: skip
def test_a_file_that_is_no_graph_says_why(data: bytes, says: str) -> None:
    with pytest.raises(GraphFormatError, match=says) as bad:
        graph_from_bytes(data)
    assert len(str(bad.value)) < 200


def test_a_bomb_does_not_go_off() -> None:
    bomb = gzip.compress(b" " * (MAX_UNZIPPED_BYTES + 10), compresslevel=1)
    with pytest.raises(GraphFormatError, match="more than"):
        graph_from_bytes(bomb)


def doubling(count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Modules and functions, each of which holds the one before it twice."""
    modules: list[Any] = [{"class": "M"}]
    functions: list[Any] = [{"inputs": 0, "tensors": [], "result": None, "exports": [], "steps": []}]
    for number in range(count):
        modules.append({"class": "M", "children": {"a": number, "b": number}})
        calls = [[f">{name}", [], {}, [], number, []] for name in "ab"]
        functions.append({"inputs": 0, "tensors": [], "result": None, "exports": [], "steps": calls})
    whole = DATA | {"inputs": {}, "ties": []}
    deep = [{"class": "M"}, *({"class": "M", "children": {"a": number}} for number in range(1000))]
    return whole | {"modules": modules, "functions": functions}, whole | {"modules": deep}


def test_definitions_that_multiply_are_refused() -> None:
    multiplied, deep = doubling(60)
    with pytest.raises(GraphFormatError, match="more than"):
        graph_from_bytes(packed(multiplied))
    with pytest.raises(GraphFormatError, match="deep"):
        graph_from_bytes(packed(deep))
    assert len(graph_from_bytes(packed(doubling(3)[0])).modules_by_name) == 15


@pytest.mark.parametrize(
    "argument",
    [
        {"pow": [10, 10**9], "is": 1},
        {"pow": [10, {"size": ["%0", 0], "is": 10**9}], "is": 1},
        {"size": ["%0", "x"], "is": 1},
        {"size": [3, 0], "is": 1},
        {"size": ["%0", 0, "'reader"], "is": 1},
        {"size": ["@weight", "'reader"], "is": 1},
        {"size": ["@weight", 0, 1], "is": 1},
        {"numel": ["@weight", "'reader", "'reader"], "is": 1},
        {"add": ["%0", 0], "is": 1},
        {"add": [1, 2], "is": "3"},
        {"add": [1], "is": 1},
        {"unknown": [1], "is": 1},
        {"attribute": [3], "is": 1},
        {"add": [1, 2], "is": 10**30},
        {"float": "1"},
        {"other": 3},
        {"map": [1]},
        {"slice": [1]},
        "%1",
        "%-1",
        "%\N{SUPERSCRIPT TWO}",
        "free text",
        json.loads("[" * 150 + "]" * 150),
    ],
)
def test_an_argument_that_is_none_is_refused(argument: Any) -> None:
    changed = deepcopy(DATA)
    changed["functions"][0]["steps"][0][1][0] = argument
    with pytest.raises(GraphFormatError, match="function 0"):
        graph_from_bytes(packed(changed))


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ([">c", ["%1"], {}, [2, 3], 0, []], "no module"),
        ([">a", ["%1"], {}, [2, 3], 1, []], "not defined before"),
        ([">a", ["%1"], {}, [2], 0, []], "does not match"),
        ([">a", ["%1"], {}, [2, 3], 0, [0]], "does not match"),
        ([">a", [], {}, [2, 3], 0, [9]], "no tensor"),
        ([">a", ["%1"], {}, [3, 2], 0, []], "out of order"),
        ([">a", ["%1"], {}, [2.0, 3.0], 0, []], "out of order"),
        (["a", ["%1"], {}, [2, 3], 0, []], "not defined before"),
        (["x", ["@c.weight"], {}, [2, 3]], "no module"),
        (["x", ["@weight"], {}, [2, 3]], "no weight"),
        (["x", ["@/a.bias"], {}, [2, 3]], "no weight"),
        ([">a", ["%1"], {}, [2, 3], 0], "damaged"),
        ([3, ["%1"], {}, [2, 3]], "not a step"),
    ],
)
def test_a_step_that_does_not_fit_is_refused(step: Any, says: str) -> None:
    changed = deepcopy(DATA)
    changed["functions"][1]["steps"][1] = step
    with pytest.raises(GraphFormatError, match=says):
        graph_from_bytes(packed(changed))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        read_graph_file(str(tmp_path / "none.graph.json.gz"))
    with pytest.raises(OSError, match="directory"):
        read_graph_file(str(tmp_path))
