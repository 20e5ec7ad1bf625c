"""The verbs for Python."""

from __future__ import annotations

from collections import UserDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import planc


def test_names_are_loaded_on_first_use() -> None:
    for name in planc.__all__:
        assert getattr(planc, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = planc.nothing  # type: ignore[attr-defined]


def test_a_plan_written_in_python() -> None:
    plan = planc.Plan(
        name="small",
        mesh=planc.Mesh((planc.Axis("tp"),)),
        blocks=(
            planc.TensorBlock(
                "tp",
                (
                    planc.Rule(
                        planc.Pattern.parse("lm_head"), "colwise", output=planc.Layout.parse("shard(-1)")
                    ),
                ),
            ),
        ),
    )
    text = "plan small\nmesh tp\n\ntensor tp {\n    lm_head   colwise   -> shard(-1)\n}\n"
    assert planc.to_text(plan) == text
    assert planc.parse(text) == plan
    assert planc.check(plan, tp=8).verdict == "checked"
    data = {
        "name": "small",
        "mesh": {"axes": [{"name": "tp"}]},
        "blocks": [
            {
                "kind": "tensor",
                "axis": "tp",
                "rules": [{"pattern": "lm_head", "style": "colwise", "output": "shard(-1)"}],
            }
        ],
    }
    assert planc.to_data(plan) == data
    assert planc.from_data(data) == plan
    assert planc.from_data(UserDict(data)) == plan


def test_objects_are_held_against_the_schema() -> None:
    rule = planc.Rule(planc.Pattern.parse("a"), 5)  # type: ignore[arg-type]
    result = planc.check(planc.Plan(blocks=(planc.TensorBlock("tp", (rule,)),)))
    assert result.diagnostics[0].law.code == "S004"
    assert result.diagnostics[0].label.path == ("blocks", 0, "rules", 0, "style")


def test_a_text_that_is_no_plan() -> None:
    with pytest.raises(planc.PlanError) as caught:
        planc.parse("mesh tp tp\nlet = 3\n")
    assert [d.law.code for d in caught.value.diagnostics] == ["S001", "S001"]
    assert "error[S001]" in str(caught.value)


def test_data_that_is_no_plan() -> None:
    with pytest.raises(planc.PlanError) as caught:
        planc.from_data({"blocks": [{"kind": "tensor"}], "nmae": 3})
    assert {d.label.path for d in caught.value.diagnostics} == {("blocks", 0), ("nmae",)}


def test_records_are_frozen() -> None:
    axis = planc.Axis("tp")
    with pytest.raises(AttributeError, match="Axis is frozen"):
        axis.name = "dp"  # type: ignore[misc]
    with pytest.raises(TypeError, match="missing"):
        planc.Axis()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unknown"):
        planc.Axis("tp", sise=3)  # type: ignore[call-arg]
    assert planc.Option("a", True) != planc.Option("a", 1), "true and 1 are two plans"


def test_load(tmp_path: Path) -> None:
    assert planc.load("llama").name == "llama"
    path = tmp_path / "a.plan"
    path.write_text("plan a\n")
    assert planc.load(path).name == "a"
    with pytest.raises(ValueError, match="no option 'nothing'"):
        planc.check(path, options={"nothing": True})


def test_misspelt_fields_of_records() -> None:
    for misspelt in (
        lambda: planc.Rule(patern=1),  # type: ignore[call-arg]
        lambda: planc.Axis(nmae="tp"),  # type: ignore[call-arg]
        lambda: planc.Axis("tp", name="x"),  # type: ignore[misc]
        lambda: planc.Axis("tp", 1, 2),  # type: ignore[call-arg]
    ):
        with pytest.raises(TypeError, match=r"Rule|Axis"):
            misspelt()


@pytest.mark.parametrize(
    "settings",
    [
        {"mesh": {"dp": 0}, "world_size": 8},
        {"tp": -1},
        {"tp": True},
        {"tp": 2.0},
        {"tp": 4, "mesh": {"tp": 8}},
        {"options": {"sequence_parallel": "true"}},
        {"options": {"sequence_parallel": 1}},
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"devices|two sizes|takes"):
        planc.check("llama", **settings)


def test_data_that_holds_itself() -> None:
    data: dict[str, Any] = {"name": "a"}
    data["mesh"] = data
    with pytest.raises(ValueError, match="nested too deeply"):
        planc.from_data(data)


def test_many_threads_read_at_once() -> None:
    """One parser serves all; a plan of one thread is no plan of another."""
    texts = [
        f"plan p{i}\nmesh tp\ntensor tp {{\n    a{i}   inputs(\n 0: shard({i}) -> replicate)\n}}\n"
        for i in range(40)
    ]
    with ThreadPoolExecutor(8) as pool:
        plans = list(pool.map(planc.parse, texts * 3))
    assert [plan.name for plan in plans] == [f"p{i}" for i in range(40)] * 3
    assert plans[7] == planc.parse(texts[7])
