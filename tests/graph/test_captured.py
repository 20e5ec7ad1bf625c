"""The graphs in `tests/graph/captured`: what their definitions give, captured again."""

from __future__ import annotations

import pytest

from planc.graph.graph_reader import graph_from_bytes
from tests.graph.captured.__main__ import FAMILIES, FOLDER, PLAIN_MODELS, recapture

pytest.importorskip("torch")


@pytest.mark.parametrize("name", PLAIN_MODELS)
def test_a_plain_model_is_captured_as_it_was(name: str) -> None:
    kept = graph_from_bytes((FOLDER / f"{name}.graph.json.gz").read_bytes())
    recaptured = recapture(name)
    assert (recaptured.modules, recaptured.functions) == (kept.modules, kept.functions)
    assert (recaptured.inputs, recaptured.ties, recaptured.model) == (kept.inputs, kept.ties, kept.model)


def test_every_graph_has_a_definition() -> None:
    assert {path.name.partition(".")[0] for path in FOLDER.glob("*.gz")} == {*PLAIN_MODELS, *FAMILIES}
