"""docs/architecture.md names files and functions that exist, and shows the table of today's figures."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tools import house

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
TERMS = sorted(set(re.findall(r"`([^`\n]+)`", PAGE)))
PATHS = [
    term for term in TERMS if re.fullmatch(r"[\w/]+(/|\.(py|md|lark|svg))", term) and term != "compat.py"
]
NAMES = [term for term in TERMS if re.fullmatch(r"[A-Z]\w+|[a-z]+(_[a-z]+)+|bind", term)]
FROM_TORCH = {"DTensor", "DeviceMesh"}


def defined_names() -> set[str]:
    """Classes, functions and methods of planc."""
    found = set()
    for path in (ROOT / "planc").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                found.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
    return found


DEFINED = defined_names()


@pytest.mark.parametrize("path", PATHS)
def test_a_path_exists(path: str) -> None:
    assert (ROOT / "planc" / path).exists() or (ROOT / path).exists()


def test_names_exist() -> None:
    assert len(NAMES) > 25
    assert [name for name in NAMES if name not in DEFINED | FROM_TORCH and name not in PAGE_OPTIONS] == []


PAGE_OPTIONS = {"q_proj", "all_reduce"}
"""Names of models and of collectives."""


def test_the_table_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| (.+?) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert [(row[0], int(row[1]), int(row[3])) for row in rows] == [
        (row.measured, row.before, row.wanted) for row in house.ROWS
    ]
    assert all(int(now) <= int(limit) for _, _, now, limit in rows), "a figure above its limit"


def test_the_drawing_names_the_parts() -> None:
    drawing = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    packages = {p.name for p in (ROOT / "planc").iterdir() if (p / "__init__.py").exists()}
    assert {name for name in packages if f"{name}/" not in drawing} == set()
