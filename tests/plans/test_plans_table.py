"""The table of the shipped plans says what is so."""

from __future__ import annotations

from pathlib import Path

from planc.paths import shipped_graphs, shipped_plans
from tools.plans_table import FAMILIES, table
from tools.shipped_graphs import MODELS

PLANS = Path(__file__).parents[2] / "plans"


def test_the_table_is_as_generated() -> None:
    assert (PLANS / "README.md").read_text(encoding="utf-8") == table(), "run python tools/plans_table.py"


def test_every_row_is_proved_somewhere() -> None:
    rows = [line for line in table().splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) >= len(FAMILIES)
    assert not [row for row in rows if " none " in row]


def test_nothing_is_shipped_that_is_not_in_the_table() -> None:
    assert sorted(plan for plan, _ in FAMILIES.values()) == shipped_plans()
    assert sorted(graph for _, graphs in FAMILIES.values() for graph in graphs) == shipped_graphs()
    assert sorted(MODELS) == shipped_graphs()
