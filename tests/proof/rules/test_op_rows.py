"""An operation is one row: no name has two, and no other part of planc holds a table of operations."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from planc.proof.rules.catalog import OPS, find_op
from planc.proof.rules.registry import add_rows, op_rule
from planc.proof.rules.saved_tensors import saves
from planc.proof.types import CONSTANT
from tests.proof.rules.harness import Case, T
from tests.proof.rules.row_facts import WrongFact, check_row_facts

PACKAGE = Path(__file__).parents[3] / "planc"
STAGES = ("proof", "fixes", "forecast", "lower")


def test_every_name_has_one_row():
    assert find_op("linear") is OPS["linear"]
    assert find_op("no such operation") is None
    with pytest.raises(ValueError, match="'linear' has two rows"):
        add_rows("linear")
    with pytest.raises(TypeError):
        op_rule("a new operation", saved=())(lambda _: CONSTANT)
    assert "a new operation" not in OPS


def tables(text: str) -> list[list[str]]:
    """The names of operations in each list, tuple, set or mapping of a file, if there are three of them."""
    found = []
    for node in ast.walk(ast.parse(text)):
        items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        names = [i.value for i in items if isinstance(i, ast.Constant) and i.value in OPS]
        if len(names) > 2:
            found.append(names)
    return found


NOT_OPERATIONS = {
    "symbolic_numbers.py": "operators of Python, which torch has too",
    "violations.py": "reasons why an operation needs a full dim",
    "sentences.py": "reasons why an operation needs a full dim",
}


def test_no_stage_has_a_table_of_operations():
    files = [f for stage in STAGES for f in (PACKAGE / stage).rglob("*.py") if "rules" not in f.parts]
    assert len(files) > 20
    assert {f.name for f in files if tables(f.read_text())} <= NOT_OPERATIONS.keys()


def test_the_test_finds_a_table():
    assert tables('KEEPS = ("view", "reshape", "flatten", "anything")') == [["view", "reshape", "flatten"]]


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("add", {"saves": saves(0)}),
        ("exp", {"saves": saves(0)}),
        ("mul", {"saves": saves()}),
        ("view", {"may_alias": False}),
        ("dropout", {}),
        ("linear", {"may_alias": False}),
    ],
)
def test_torch_finds_a_wrong_row(monkeypatch, name, facts):
    monkeypatch.setitem(OPS, name, type(OPS[name])(OPS[name].infer, **facts))
    x = T(2, 4)
    cases = {"add": (x, x), "mul": (x, x), "view": (x, 8), "dropout": (x, 0.5, True)}
    cases["linear"] = (T(2, 2, 4), T(3, 4), T(3))
    with pytest.raises(WrongFact):
        check_row_facts(Case(name, *cases.get(name, (x,))))
