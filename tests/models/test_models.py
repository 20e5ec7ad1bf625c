"""A part of the table of models: one for each cause that was ever mended, and some that are refused with a reason."""

from __future__ import annotations

import importlib.util
import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.models.cases import Case, chosen_cases, transformers_names  # noqa: E402
from tests.models.fsdp_plan import fsdp_plan  # noqa: E402
from tests.models.judge_model import judge_model  # noqa: E402
from tests.models.models_page import page_lines  # noqa: E402

PROVED = {
    "LlamaForCausalLM": ["input_ids"],
    "GptOssForCausalLM": ["input_ids"],  # attention without SDPA
    "Gemma2ForCausalLM": ["input_ids"],
    "DebertaV2Model": ["input_ids"],
    "LlamaForSequenceClassification": ["input_ids"],  # no padding token by default
    "BertForMultipleChoice": ["input_ids"],  # several texts a row
    "Dots1ForCausalLM": ["input_ids"],  # numbers that the default configuration leaves open
    "T5Model": ["input_ids", "decoder_input_ids"],
    "WhisperModel": ["input_features", "decoder_input_ids"],
    "ViTModel": ["pixel_values"],
    "ASTModel": ["input_values"],  # a spectrogram
    "MambaModel": ["input_ids"],
}
"""By the class: the inputs that it is captured with. All of them run, and are proved under FSDP."""
CAPTURED = {
    "BloomForCausalLM": ["input_ids"],
    "FNetModel": ["input_ids"],
    "CLIPModel": ["input_ids", "pixel_values"],
    "ClapModel": ["input_ids", "input_features"],
    "LlavaForConditionalGeneration": ["input_ids", "pixel_values"],  # tokens that stand for images
    "Blip2Model": ["pixel_values", "input_ids", "decoder_input_ids"],
    "Speech2TextModel": ["input_features", "decoder_input_ids"],
    "TimesformerModel": ["pixel_values"],  # a film
    "VideoMAEModel": ["pixel_values"],
    "PatchTSTModel": ["past_values"],
    "Wav2Vec2Model": ["input_values"],
    "SwinModel": ["pixel_values"],
}
"""The same, whether they are proved or not."""
REFUSED = {"LongformerModel": "item", "SwitchTransformersModel": "nonzero"}
"""Code that reads the values of tensors, and the operation that the message names."""
LAYERS = {
    "MultiheadAttention": "proved", "LSTM": "proved", "TransformerEncoder": "proved", "GroupNorm": "proved",
    "Conv2d": "proved", "BatchNorm2d": "refuted",
}  # fmt: skip
"""Torch's own layers under FSDP."""


@pytest.mark.parametrize("name", [*PROVED, *CAPTURED])
def test_a_class_of_transformers_is_captured(name: str) -> None:
    row = judge_model(Case("transformers", name), with_numbers=False)
    assert row["ran"], row
    assert row["captured"], row
    assert row["inputs"] == {**PROVED, **CAPTURED}[name]
    if name in PROVED:
        assert row["fsdp"] == "proved", row


@pytest.mark.parametrize("name", REFUSED)
def test_a_class_that_reads_values_is_refused(name: str) -> None:
    row = judge_model(Case("transformers", name), with_numbers=False)
    assert row["ran"], row
    assert not row["captured"]
    assert row["reason"].startswith("G802 the model's code reads the values of a tensor")
    assert REFUSED[name] in row["reason"]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_of_torch_under_fsdp(name: str) -> None:
    row = judge_model(Case("torch", name), with_numbers=False)
    assert (row["ran"], row["captured"], row["fsdp"]) == (True, True, LAYERS[name]), row


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is installed")
def test_a_source_that_is_not_installed_is_left_out() -> None:
    from tests.models.cases import all_cases

    cases, skipped = all_cases(("torch", "torchvision"))
    assert {case.source for case in cases} == {"torch"}
    assert skipped[0].startswith("torchvision: ")


def test_every_family_of_transformers_comes_before_a_second_class_of_one() -> None:
    names = transformers_names()
    assert len(names) == len(set(names)) > 500
    assert names.index("LlamaForCausalLM") < names.index("LlamaForTokenClassification")
    assert not {"AutoModel", "LlamaPreTrainedModel"} & set(names)


def test_the_page_is_a_function_of_what_was_found() -> None:
    cases = [Case("torch", name) for name in ("b", "a", "c", "d")]
    rows = {
        cases[0]: {"name": "b", "ran": True, "captured": True, "fsdp": "proved", "numbers": "right"},
        cases[1]: {"name": "a", "ran": True, "captured": False, "reason": "G802 x | y"},
        cases[2]: {"name": "c", "ran": False, "not_run": "ValueError: no"},
    }
    page = list(page_lines(cases, rows, ["timm: missing"]))
    assert "| torch | 4 | 3 | 2 | 1 (50.0%) | 1 (100.0%) |" in page
    assert any("partial" in line and "3 of 4" in line for line in page)
    at = page.index("| `a` | no | - | - | - | G802 x \\| y |")
    assert page[at + 1] == "| `b` | yes | yes | - | right |  |"
    assert "| ValueError | 1 |" in page
    turned = json.loads(json.dumps(list(reversed(rows.values()))))
    assert page == list(page_lines(cases, dict(zip(reversed(rows), turned, strict=True)), ["timm: missing"]))


def test_names_are_chosen_by_patterns() -> None:
    cases = [Case("torch", name) for name in ("Conv1d", "Conv2d", "Linear")]
    assert [case.name for case in chosen_cases(cases, ["Conv*"])] == ["Conv1d", "Conv2d"]


def test_blocks_that_share_a_parameter_are_no_units_of_their_own() -> None:
    from planc.torch.capture.trace import CaptureTarget, trace

    def plan(*, tied: bool) -> str:
        model = torch.nn.Sequential(*(torch.nn.Sequential(torch.nn.Linear(4, 4)) for _ in range(3)))
        if tied:
            model[1][0].weight = model[0][0].weight
        return fsdp_plan(trace(CaptureTarget("own", model, (torch.empty(2, 4),), {}, {}, {"torch": "2"})))

    assert "    *\n    root\n" in plan(tied=False)
    assert "*" not in plan(tied=True)
