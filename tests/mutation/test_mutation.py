"""Neighbours of plans: each kind of change does what it says, and what is drawn can be drawn again."""

from __future__ import annotations

import shlex
from collections import Counter
from functools import cache
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from planc.bind.binding import bind
from planc.compile import check_document, diagnose
from planc.graph.graph_reader import read_graph_file
from planc.ir.expr import evaluate
from planc.ir.graph import ModelGraph, ModuleDef, TensorInfo
from planc.ir.plan import Plan
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.paths import shipped_plans
from planc.resolve import resolve
from planc.syntax.read_file import read_path, read_source
from planc.syntax.unparse import unparse
from tests.mutation import mutants
from tests.mutation.__main__ import main
from tests.mutation.changes import CHANGES
from tests.mutation.expected_changes import EXPECTED
from tests.mutation.families import FAMILIES
from tests.mutation.flatten_extends import flatten_extends
from tests.mutation.module_names import ModuleNames
from tests.mutation.records import MutationOperator
from tests.mutation.variants import Case, Family, model_variants, sample_cases

GRAPHS = Path(__file__).parents[1] / "plans" / "families"
KINDS = {kind.name: kind for kind in CHANGES}


@cache
def graph(name: str) -> ModelGraph:
    return read_graph_file(str(GRAPHS / f"{name}.graph.json.gz"))


@cache
def plan(name: str) -> Plan:
    return flatten_extends(read_path(name))


def plan_of(text: str) -> Plan:
    document = read_source(Source("some.plan", text))
    assert not document.diagnostics
    return document.plan


def _module(kind: str, children: dict[str, int], **more: Any) -> ModuleDef:
    owned = {name: TensorInfo((8, 8), "float32") for name in more.pop("parameters", ())}
    return ModuleDef(kind, (), owned, {}, more.pop("attributes", {}), children)


SMALL = ModelGraph(
    "small",
    {},
    {"heads": 4, "tied": False},
    {},
    (
        _module("Linear", {}, parameters=("weight",)),
        _module("Norm", {}, parameters=("scale",)),
        _module("Attention", {"q": 0, "k": 0, "o": 0}, attributes={"heads": 4, "groups": 2}),
        _module("Layer", {"norm": 1, "attn": 2}),
        _module("Layers", {"0": 3, "1": 3, "2": 3}),
        _module("Model", {"layers": 4, "head": 0}),
    ),
    (),
    (),
)
"""layers.{0..2}.{norm,attn.{q,k,o}}, head."""


@pytest.mark.parametrize("case", EXPECTED, ids=lambda case: case.kind)
def test_a_kind_does_what_it_says(case: Any) -> None:
    """All that a kind makes of a small plan, against what a person would write."""
    kind, before = KINDS[case.kind], plan_of(case.before)
    names = ModuleNames(SMALL)
    made = [kind.apply(before, names, Random(seed)) for seed in range(300 if case.all else 3000)]
    texts = {unparse(one[0]) for one in made if one is not None}
    assert {unparse(plan_of(text)) for text in case.after} <= texts
    if case.all:
        assert texts == {unparse(plan_of(text)) for text in case.after}
    assert all("\n" not in one[1] and one[1] for one in made if one is not None)


def test_every_kind_is_expected_by_hand() -> None:
    assert {case.kind for case in EXPECTED} == set(KINDS)


@pytest.mark.parametrize("kind", CHANGES, ids=lambda kind: kind.name)
def test_nothing_is_made_of_nothing(kind: MutationOperator) -> None:
    """No kind raises where it finds nothing to change."""
    for seed in range(5):
        made = kind.apply(Plan(), ModuleNames(SMALL), Random(seed))
        assert made is None or kind.name == "add-region"


@pytest.mark.parametrize("name", shipped_plans())
def test_mutants_are_plans(name: str) -> None:
    """They can be read back, and no two are the same; the seed draws them again, however many are asked for."""
    found = list(mutants(plan(name), graph(name), 3, count=60))
    texts = [unparse(mutant.plan) for mutant in found]
    assert len({*texts, unparse(plan(name))}) == 61
    for mutant, text in zip(found, texts):
        document = read_source(Source("mutant.plan", text))
        assert not document.diagnostics, mutant.changes
        assert document.plan == mutant.plan, mutant.changes
    assert [mutant.number for mutant in found] == list(range(60))
    read_again = plan_of(unparse(plan(name)))
    assert list(islice(mutants(read_again, graph(name), 3), 20)) == found[:20]
    assert [unparse(m.plan) for m in mutants(plan(name), graph(name), 4, count=20)] != texts[:20]


def test_every_kind_occurs() -> None:
    sampled: Counter[str] = Counter()
    for name in ("whisper", "phi3", "qwen3_moe", "llama"):
        for mutant in mutants(plan(name), graph(name), 0, count=500):
            assert 1 <= len(mutant.changes) <= 2
            sampled.update(change.kind for change in mutant.changes)
    assert set(sampled) == set(KINDS)


def test_a_plan_without_neighbours_ends() -> None:
    empty = ModelGraph("none", {}, {}, {}, (_module("Linear", {}),), (), ())
    assert list(mutants(Plan(), empty, 0)) == []


# ---- right neighbours ----------------------------------------------------------


def _meaning(some: Plan, name: str, settings: Settings) -> Any:
    """What a plan says of each module, from planc's own binding: rules and units, without how they are found."""
    document = read_source(Source("some.plan", unparse(some)))
    settled = resolve(document, settings, graph(name).facts)
    assert not settled.diagnostics
    bound = bind(settled, graph(name))
    reported = []
    for module, here in bound.root.named_modules():
        for block in here.entries:
            entry = bound.entry_for(here, block)
            assert entry is not None
            reported.append((settled.blocks[block].kind, module, _told(entry.value, settled.values)))
    return sorted(reported), [block.loss and block.loss.value.style for block in settled.blocks]


def _told(entry: Any, values: Any) -> str:
    """An entry without its pattern; parts as their proportions, and layouts as a style has them anyway."""
    fields = {k: v for k, v in vars(entry).items() if k not in ("pattern", "patterns", "override", "parts")}
    sizes = [evaluate(part.size, values) for part in getattr(entry, "parts", ())]
    return str((fields, [size / sizes[0] for size in sizes] if len(sizes) > 1 else sizes))


@pytest.mark.parametrize("name", ["llama", "gpt2", "t5", "phi3", "qwen3_moe", "whisper"])
@pytest.mark.parametrize("split", [True, False])
def test_the_same_in_other_words(name: str, split: bool) -> None:
    """Kinds that promise it change nothing of what is said of any module."""
    options = {"sequence_parallel": split}
    settings = Settings({"tp": 2, "dp": 1}, options=options)
    origin = _meaning(plan(name), name, settings)
    chance = Random(1)
    for kind in CHANGES:
        made = kind.apply(plan(name), ModuleNames(graph(name)), chance) if kind.equivalent else None
        if made is None:
            continue
        if kind.name == "say-default":  # the one that adds a word, which the proof has to know
            assert (
                check_document(read_source(Source("x", unparse(made[0]))), settings, graph(name)).verdict
                == "proved"
            )
        else:
            assert _meaning(made[0], name, settings) == origin, (kind.name, made[1])


def test_enough_can_be_applied_and_enough_is_right() -> None:
    """A hunt among plans that are all broken in their words would find nothing."""
    settings, reported = Settings({"tp": 2, "dp": 1}), Counter[str]()
    for name in ("llama", "gpt2", "bert"):
        for mutant in mutants(plan(name), graph(name), 5, count=60):
            document = read_source(Source("mutant.plan", unparse(mutant.plan)))
            codes = {
                fault.law.code
                for fault in diagnose(document, settings, graph(name)).diagnostics
                if fault.is_error
            }
            reported["right" if not codes else "wrong" if any(c[0] == "L" for c in codes) else "unfit"] += 1
    assert reported["right"] >= 45
    assert reported["right"] + reported["wrong"] >= 90
    assert reported["wrong"] >= 30


# ---- plans that extend others ---------------------------------------------------


@pytest.mark.parametrize("name", shipped_plans())
@pytest.mark.parametrize("split", [True, False])
def test_a_plan_with_all_that_it_extends(name: str, split: bool) -> None:
    """It says of every module what the chain says, settled by planc's own rules."""
    one = plan(name)
    assert one.extends is None
    assert not any(block.remove for block in one.blocks)
    options = {"sequence_parallel": split} if one.options else {}
    settings = Settings({"tp": 2, "dp": 1}, options=options)
    settled = resolve(read_path(name), settings, graph(name).facts)
    resolved_again = resolve(read_source(Source("whole", unparse(one))), settings, graph(name).facts)
    for old, new in zip(settled.blocks, resolved_again.blocks, strict=True):
        assert [_flat(entry.value) for entry in old.entries] == [_flat(entry.value) for entry in new.entries]
        assert [each.value for each in old.settings] == [each.value for each in new.settings]
        assert (old.loss and old.loss.value) == (new.loss and new.loss.value)
    assert [each.value for each in settled.requires] == [each.value for each in resolved_again.requires]


def _flat(entry: Any) -> Any:
    return type(entry)(**{**vars(entry), "override": False})


def test_a_plan_that_extends_nothing_that_there_is() -> None:
    with pytest.raises(ValueError, match="ships no plan"):
        flatten_extends(read_source(Source("mine.plan", "extends nowhere\n")))


# ---- families -------------------------------------------------------------------


def test_variants_of_a_family() -> None:
    family = Family("llama", "hf:L", "a=1&b=2", ("b=3", "c=true"), ({"tp": 2}, {"tp": 4}))
    found = model_variants(family, plan("llama"))
    assert [v.reference for v in found[::4]] == ["hf:L?a=1&b=2", "hf:L?a=1&b=3", "hf:L?a=1&b=2&c=true"]
    assert len(found) == 3 * 2 * 2
    assert [str(change) for change in found[-1].changes] == ["model: c=true"]
    assert {tuple(v.options.items()) for v in found} == {
        (("sequence_parallel", True),),
        (("sequence_parallel", False),),
    }


def test_cases_of_a_family_are_drawn_again(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    def graph_of(reference: str) -> ModelGraph:
        asked.append(reference)
        return graph("llama")

    def sampled(count: int) -> list[Case]:
        return list(sample_cases(FAMILIES["llama"], plan("llama"), graph_of, 2, count=count))

    found = sampled(80)
    assert len(asked) == len(set(asked))
    assert sampled(20) == found[:20]
    assert {case.variant.sizes["tp"] for case in found} == {2, 4}
    assert any(case.mutant is None for case in found)
    one = next(case for case in found if case.mutant and case.variant.changes)
    assert one.mutant in list(mutants(plan("llama"), graph("llama"), 2, count=80))
    assert one.changes[0].kind == "model"
    assert one.mutant is not None
    model = f"--model={one.variant.reference}"
    words = shlex.split(one.command)[3:]
    assert model in words
    assert main([f"--model={LLAMA[2]}" if word == model else word for word in words]) == 0
    assert capsys.readouterr().out.endswith(f"\n{unparse(one.mutant.plan)}")


def test_families_are_those_of_the_shipped_plans() -> None:
    assert set(FAMILIES) == set(shipped_plans())


# ---- the command ------------------------------------------------------------------

LLAMA = ["llama", "--model", str(GRAPHS / "llama.graph.json.gz"), "--seed", "7", "--tp", "2"]


def test_only_one_is_the_one_of_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*LLAMA, "--count", "6", "--write", str(tmp_path / "all")]) == 0
    many = capsys.readouterr().out
    assert main([*LLAMA, "--only", "5", "--check"]) == 0
    one = capsys.readouterr().out
    text = (tmp_path / "all" / "5.plan").read_text()
    assert one.endswith(f"\n{text}")
    assert len(list((tmp_path / "all").iterdir())) == 6
    *_, sixth = mutants(plan("llama"), graph("llama"), 7, count=6)
    assert text == unparse(sixth.plan)
    assert all(str(change) in one and str(change) in many for change in sixth.changes)
    verdict = check_document(read_source(Source("x", text)), Settings({"tp": 2}), graph("llama")).verdict
    assert f"\n  {verdict}" in one
    assert "--- plan\n+++ mutant\n" in many


WRONG = [
    (["nowhere"], "no such file"),
    (["llama", "--model", "none"], "--model MODEL"),
    (["llama", "--model", "nowhere.graph.json.gz"], "nowhere.graph.json.gz"),
    ([*LLAMA, "--set", "nothing=true"], "there is no option 'nothing'"),
    ([*LLAMA, "--tp", "0"], "'0' is not a number of devices"),
    ([*LLAMA, "--mesh", "tp=4"], "given two sizes"),
    ([*LLAMA, "--only", "-1"], "--only"),
    ([*LLAMA, "--only", "1", "--count", "2"], "not allowed with"),
    ([*LLAMA, "--seed", "x"], "--seed"),
]


@pytest.mark.parametrize(("words", "reported"), WRONG, ids=lambda case: str(case)[-30:])
def test_wrong_usage(words: list[str], reported: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(words)
    except SystemExit as stop:  # argparse
        status = int(stop.code or 0)
    assert status == 2
    out, err = capsys.readouterr()
    assert reported in err
    assert not out


def test_a_folder_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main([*LLAMA, "--write", str(tmp_path / "file")]) == 2
    assert "file exists" in capsys.readouterr().err


def test_a_plan_with_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.plan").write_text("mesh tp,\n")
    assert main([str(tmp_path / "bad.plan"), *LLAMA[1:]]) == 2
    assert "bad.plan" in capsys.readouterr().err
