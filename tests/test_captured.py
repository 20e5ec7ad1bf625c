"""The graphs in `tests/captured`: what their definitions give, captured again."""

from __future__ import annotations

import pytest
from captured.__main__ import FAMILIES, FOLDER, PLAIN, captured

from planc.graphs.read import from_bytes

pytest.importorskip("torch")


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_model_is_captured_as_it_was(name: str) -> None:
    kept = from_bytes((FOLDER / f"{name}.graph.json.gz").read_bytes())
    again = captured(name)
    assert (again.modules, again.functions) == (kept.modules, kept.functions)
    assert (again.inputs, again.ties, again.model) == (kept.inputs, kept.ties, kept.model)


def test_every_graph_has_a_definition() -> None:
    assert {path.name.partition(".")[0] for path in FOLDER.glob("*.gz")} == {*PLAIN, *FAMILIES}
