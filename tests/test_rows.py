"""A kind of block, a style and an operation that exist nowhere else are one file and one row each: every stage follows."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

import planc
from planc.compile import check_document, forecast, lower
from planc.forecast.memory import saved_bytes
from planc.ir.block_kinds import BLOCK_KINDS
from planc.ir.graph import Function, ModelGraph, Op, Value
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.ir.styles import STYLES
from planc.lower.lowering_error import LoweringError
from planc.proof.aliasing import may_alias_copy
from planc.proof.result import AbstractValue
from planc.proof.rules.catalog import OPS, find_op
from planc.proof.types import INVARIANT
from planc.report.plan_tree import print_plan_tree
from planc.syntax.data.json_schema import json_schema
from planc.syntax.data.serialize import plan_to_json, plan_to_python, plan_to_yaml
from planc.syntax.formatter import format_document
from planc.syntax.read_file import read_source
from tests.rows import ddp_block, gathered_style, noisy_silu_op
from tests.rows.ddp_block import DdpBlock, Replica

LLAMA = str(Path(__file__).parent / "plans" / "families" / "llama.graph.json.gz")

PLAN = """\
plan replicated
mesh dp

option all = true

ddp dp {
    static_graph: true
    root   when all
}
"""
GATHERED = """\
mesh tp

tensor tp {
    lm_head   colwise_gathered
}
"""


@pytest.fixture(autouse=True)
def rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BLOCK_KINDS, "ddp", ddp_block.ROW)
    monkeypatch.setitem(STYLES, "colwise_gathered", gathered_style.ROW)
    monkeypatch.setitem(OPS, "noisy_silu", noisy_silu_op.ROW)


def codes(plan: str, **sizes: int) -> list[str]:
    document = read_source(Source("x.plan", plan))
    return [found.law.code for found in check_document(document, Settings(sizes)).diagnostics]


# ---- a kind of block ---------------------------------------------------------


def test_a_block_is_parsed() -> None:
    (block,) = planc.parse(PLAN).blocks
    assert block == DdpBlock(
        "dp",
        (planc.Setting("static_graph", True),),
        (Replica(planc.Pattern.parse("root"), planc.Expr.parse("all")),),
    )


def test_a_block_is_checked() -> None:
    assert codes(PLAN, dp=2) == []
    assert codes(PLAN.replace("mesh dp", "mesh data")) == ["N102"]
    assert codes(PLAN.replace("true\n    root", "yes\n    root")) == ["N105"]
    assert codes(PLAN.replace("static_graph", "static")) == ["N105"]
    assert codes("mesh dp\nddp dp {\n    root\n    root\n}\n") == ["R301"]
    assert codes("mesh dp\nddp dp {\n}\n") == ["R308"]
    assert codes("mesh dp\nddp dp {\n    root (\n}\n")[0][0] == "S"
    assert codes("mesh dp\ndpp dp {\n    root\n}\n") == ["S001"]


def test_the_name_of_a_block_is_suggested() -> None:
    document = read_source(Source("x.plan", "mesh dp\nddpp dp {\n    root\n}\n"))
    assert "ddp" in str(document.diagnostics[0].fix)


def test_a_block_is_proved_by_the_role_of_its_axis(graph: ModelGraph) -> None:
    result = planc.check(planc.parse(PLAN), dp=2, model=graph)
    assert result.verdict == "proved"
    assert result.proof is not None
    assert [(axis.axis, axis.splits_tensors) for axis in result.proof.axes] == [("dp", False)]
    assert forecast(result) == ()
    with pytest.raises(LoweringError, match="cannot apply a 'ddp' block"):
        lower(result)


def test_a_block_that_the_model_does_not_have_is_refuted(graph: ModelGraph) -> None:
    plan = planc.parse(PLAN.replace("root ", "model.heads "))
    assert [found.law.code for found in planc.check(plan, dp=2, model=graph).diagnostics] == ["F601"]


def test_a_block_is_formatted() -> None:
    untidy = (
        "plan replicated\nmesh   dp\n\n\noption all=true\n\nddp dp {\nstatic_graph: true\n   root when all\n}"
    )
    assert format_document(read_source(Source("x.plan", untidy))) == PLAN
    assert planc.to_text(planc.parse(PLAN)) == PLAN


def test_a_block_is_shown() -> None:
    out = StringIO()
    resolved = check_document(read_source(Source("x.plan", PLAN)), Settings({"dp": 2})).resolved
    print_plan_tree(resolved, Console(file=out))
    assert [line.strip("│├└─ ") for line in out.getvalue().splitlines()][-3:] == [
        "ddp dp",
        "static_graph: true",
        "root",
    ]


def test_a_block_is_data_and_python_too() -> None:
    plan = planc.parse(PLAN)
    assert planc.from_data(planc.to_data(plan)) == plan
    for name, text in (("json", plan_to_json(plan)), ("yaml", plan_to_yaml(plan))):
        assert read_source(Source(f"x.{name}", text, name)).plan == plan
    variables: dict[str, object] = {}
    exec(plan_to_python(plan), variables)
    assert variables["plan"] == plan


def test_a_block_is_in_the_schema() -> None:
    schema = json_schema()
    assert "DdpBlock" in schema["$defs"]
    jsonschema.validate(json.loads(plan_to_json(planc.parse(PLAN))), schema)


# ---- a style -----------------------------------------------------------------


def test_a_style_is_proved_and_forecast(graph: ModelGraph) -> None:
    result = planc.check(planc.parse(GATHERED), tp=2, model=graph)
    assert result.verdict == "proved", result.diagnostics
    gathers = [(each.kind, each.direction, each.module) for each in forecast(result)]
    assert ("all_gather", "forward", "lm_head") in gathers
    (axis,) = lower(result).tensor
    assert axis.modules["lm_head"].parameters["weight"].dim == 0


def test_a_style_is_checked(graph: ModelGraph) -> None:
    wrong = planc.parse(GATHERED.replace("lm_head", "model.embed_tokens"))
    assert [found.law.code for found in planc.check(wrong, tp=2, model=graph).diagnostics] == ["F603"]
    (unknown,) = planc.check(planc.parse(GATHERED.replace("gathered", "gatherd"))).diagnostics
    assert unknown.law.code == "N101"
    assert "colwise_gathered" in "".join(unknown.notes)
    assert codes(GATHERED.replace("colwise_gathered", "colwise_gathered(2)")) == ["R304"]


def test_a_style_is_formatted_and_data() -> None:
    plan = planc.parse(GATHERED)
    assert planc.to_text(plan) == GATHERED
    assert planc.from_data(planc.to_data(plan)) == plan


# ---- an operation ------------------------------------------------------------

LLAMA_PLAN = Path(__file__).parents[1] / "plans" / "llama.plan"


@pytest.fixture
def noisy_graph(graph: ModelGraph) -> ModelGraph:
    """The model with the new operation in the place of silu."""

    def replaced(function: Function) -> Function:
        steps = [
            s.with_(name="noisy_silu") if isinstance(s, Op) and s.name == "silu" else s
            for s in function.steps
        ]
        return function.with_(steps=tuple(steps))

    return graph.with_(functions=tuple(replaced(function) for function in graph.functions))


def test_an_operation_is_proved(noisy_graph: ModelGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    assert planc.check(LLAMA_PLAN, tp=2, model=noisy_graph).verdict == "proved"
    monkeypatch.delitem(OPS, "noisy_silu")
    result = planc.check(LLAMA_PLAN, tp=2, model=noisy_graph)
    assert result.verdict == "unproved"
    assert {found.law.code for found in result.diagnostics} == {"L713"}


def test_the_random_numbers_of_an_operation_are_seen(graph: ModelGraph, noisy_graph: ModelGraph) -> None:
    def per_rank(model: ModelGraph) -> set[str]:
        (axis,) = lower(planc.check(LLAMA_PLAN, tp=2, model=model)).tensor
        return {name.rpartition(".")[2] for name, module in axis.modules.items() if any(module.per_rank_rng)}

    assert per_rank(graph) == set()
    assert per_rank(noisy_graph) == {"act_fn"}


def test_what_an_operation_saves_is_forecast(noisy_graph: ModelGraph) -> None:
    found = [
        (saved_bytes(function, step, lambda _: None), function.tensors[step.results[0]].bytes)
        for function in noisy_graph.functions
        for step in function.steps
        if isinstance(step, Op) and step.name == "noisy_silu"
    ]
    assert found
    assert all(saved == of_input > 0 for saved, of_input in found)


def test_an_operation_has_a_result_of_its_own(noisy_graph: ModelGraph) -> None:
    copied = [AbstractValue(INVARIANT, copied=True)]
    step = Op("noisy_silu", (Value(0),), {}, (1,))
    assert may_alias_copy(step.with_(name="view"), find_op("view"), copied)
    assert not may_alias_copy(step, find_op("noisy_silu"), copied)


@pytest.fixture(scope="module")
def graph() -> ModelGraph:
    from planc.graph.graph_reader import read_graph_file

    return read_graph_file(LLAMA)
