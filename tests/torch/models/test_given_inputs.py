"""`--input`, wherever a model is named, and what a graph keeps of it."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import planc
from planc.api import to_document
from planc.cli import main
from planc.graph.graph_reader import read_graph_file
from planc.ir.resolved import Settings
from planc.torch.verify.choose_model import choose_model
from planc.torch.verify.fill_inputs import fill_inputs
from planc.torch.verify.model_under_test import build_model_under_test
from planc.torch.verify.shrink_model import captured_inputs

LLAMA = (
    "hf:LlamaForCausalLM?hidden_size=64&intermediate_size=128&num_hidden_layers=2&num_attention_heads=8"
    "&num_key_value_heads=4&vocab_size=128"
)
INPUTS = ("input_ids=int64[4,64]", "attention_mask=int64[4,64]")
FLAGS = [word for each in INPUTS for word in ("--input", each)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLANC_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def test_a_graph_keeps_the_inputs_that_the_user_sets() -> None:
    assert main(["capture", LLAMA, *FLAGS, "-o", "llama.graph.json"]) == 0
    graph = read_graph_file("llama.graph.json")
    assert graph.input_options == INPUTS
    assert {name: info.shape for name, info in graph.inputs.items()} == {
        "input_ids": (4, 64), "attention_mask": (4, 64)
    }  # fmt: skip
    assert captured_inputs("llama.graph.json") == INPUTS
    assert main(["capture", LLAMA, "-o", "plain.graph.json"]) == 0
    assert read_graph_file("plain.graph.json").input_options == ()


@pytest.mark.parametrize("command", ["check", "show"])
def test_commands_take_inputs(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [command, "llama", "--model", LLAMA, "--tp", "2", "--dp", "2"]
    assert main([*words, "--input", "attention_mask=int64[4,384]"]) == 0
    capsys.readouterr()
    assert main([*words, "--input", "attention_msk=int64[4,384]"]) == 2
    assert "did you mean 'attention_mask'?" in capsys.readouterr().err
    assert main([*words, "--input", "attention_mask=int64[4,100]"]) == 2, "the cache tells inputs apart"


def test_check_of_the_api_takes_inputs() -> None:
    assert planc.check("llama", tp=2, dp=2, model=LLAMA, inputs=INPUTS).verdict == "proved"
    with pytest.raises(planc.ModelFault, match="takes no input"):
        planc.check("llama", tp=2, dp=2, model=LLAMA, inputs=["mask=int64[4,64]"])


@pytest.mark.parametrize(
    ("model", "reason"), [("none", "no model to capture"), ("tiny-llama", "captured already")]
)
def test_inputs_for_what_is_not_captured(model: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "llama", "--model", model, "--tp", "2", "--dp", "2", *FLAGS]) == 2
    assert reason in capsys.readouterr().err


def test_verify_runs_the_inputs_of_a_graph(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["capture", LLAMA, *FLAGS, "-o", "llama.graph.json"]) == 0
    status = main(
        ["verify", "llama", "--model", "llama.graph.json", "--tp", "2", "--dp", "1", "--steps", "1"]
    )
    assert (status, "right: " in capsys.readouterr().out) == (0, True)


def test_the_model_that_is_run_gets_numbers_for_its_inputs() -> None:
    subject = build_model_under_test(LLAMA, 0, inputs=INPUTS)
    ids, mask = subject.kwargs["input_ids"], subject.kwargs["attention_mask"]
    assert (ids.shape, mask.shape) == ((4, 64), (4, 64))
    assert int(ids.max()) > 64
    assert bool(mask.all()), "all tokens are seen"
    again = build_model_under_test(LLAMA, 0, inputs=INPUTS).kwargs["input_ids"]
    assert bool((ids == again).all()), "the same on every rank"
    assert fill_inputs((ids,), {}, None, 0)[0][0] is ids, "what has numbers keeps them"


def test_an_input_that_does_not_fit_a_smaller_model() -> None:
    """Embeddings have the width of the full model, so verify keeps the widths, and drops layers."""
    rules = "mesh dp, tp\ntensor tp {\n    model.layers.*.mlp.gate_proj  colwise -> replicate\n}\n"
    wide = LLAMA.replace("hidden_size=64", "hidden_size=640").replace("layers=2", "layers=4")
    chosen = choose_model(
        to_document(planc.parse(rules)),
        Settings({"dp": 1, "tp": 2}),
        wide,
        lambda: None,
        ("inputs_embeds=float32[4,32,640]",),
    )
    assert "num_hidden_layers=2" in chosen.reference
    assert chosen.graph.inputs["inputs_embeds"].shape == (4, 32, 640)
