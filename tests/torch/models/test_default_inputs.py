"""The inputs that planc calls models of transformers with, and that the models accept them."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from planc.torch.models.config_sizes import ConfigSizes

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from planc.ir.source import Source  # noqa: E402
from planc.torch.apply.module_graph import MissingInputs, capture_module  # noqa: E402
from planc.torch.models import hugging_face  # noqa: E402
from planc.torch.models.example_values import random_values, with_placeholders  # noqa: E402
from planc.torch.models.model_reference import parse_reference  # noqa: E402

_BERT = "hidden_size=16&intermediate_size=16&num_hidden_layers=1&num_attention_heads=2&vocab_size=64"
_TEXT = "&".join(f"text_config.{part}" for part in f"{_BERT}&num_key_value_heads=2".split("&"))
_VISION = (
    "vision_config.hidden_size=16&vision_config.intermediate_size=16&vision_config.num_hidden_layers=2"
    "&vision_config.num_attention_heads=2&vision_config.image_size=28&vision_config.patch_size=14"
)
CALLS = {
    f"BertForMultipleChoice?{_BERT}&max_position_embeddings=64": {"input_ids": (4, 2, 64)},
    f"ViTModel?{_BERT.removesuffix('&vocab_size=64')}&image_size=32&patch_size=16": {
        "pixel_values": (4, 3, 32, 32)
    },
    "TimesformerModel?hidden_size=16&intermediate_size=16&num_hidden_layers=1&num_attention_heads=2"
    "&image_size=32&num_frames=2": {"pixel_values": (4, 2, 3, 32, 32)},
    "ASTModel?hidden_size=16&intermediate_size=16&num_hidden_layers=1&num_attention_heads=2&max_length=64"
    "&num_mel_bins=32": {"input_values": (4, 64, 32)},
    f"LayoutLMModel?{_BERT}&max_position_embeddings=64": {"input_ids": (4, 64), "bbox": (4, 64, 4)},
    f"LlavaForConditionalGeneration?{_TEXT}&{_VISION}&image_token_index=63": {
        "input_ids": (4, 384),
        "pixel_values": (4, 3, 28, 28),
    },
    "Speech2TextModel?d_model=16&encoder_layers=1&decoder_layers=1&encoder_attention_heads=2"
    "&decoder_attention_heads=2&encoder_ffn_dim=16&decoder_ffn_dim=16&vocab_size=64&conv_channels=16"
    "&max_target_positions=64": {"input_features": (4, 1024, 80), "decoder_input_ids": (4, 64)},
}
"""By the class and its settings: the shapes of its inputs, from the documentation of transformers."""


def build(text: str) -> tuple[Any, Any, dict[str, Any]]:
    """A model with weights, its configuration, and the keywords of its example call."""
    source = Source("MODEL", f"hf:{text}")
    kind, config = hugging_face.class_and_config(parse_reference(source), source)
    model, keywords = hugging_face.build_on_device(kind, config, "cpu", source)
    return model, config, keywords


@pytest.mark.parametrize("text", CALLS, ids=lambda text: text.partition("?")[0])
def test_a_model_accepts_its_inputs(text: str) -> None:
    """transformers itself is the judge: the call runs, with values, forward and backward."""
    model, config, keywords = build(text)
    tensors = {name: item for name, item in keywords.items() if isinstance(item, torch.Tensor)}
    assert {name: tuple(item.shape) for name, item in tensors.items()} == CALLS[text]
    generator = torch.Generator().manual_seed(0)
    values: dict[str, Any] = {
        name: random_values(name, tuple(item.shape), item.dtype, config, generator)
        for name, item in tensors.items()
    }
    given = with_placeholders(model, config, values, generator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = model(**given)[0]
    result.float().sum().backward()


def test_a_text_has_a_token_for_each_part_of_an_image() -> None:
    """A 28 x 28 image in patches of 14 has four parts; the token of images is no other text's."""
    text = next(text for text in CALLS if text.startswith("Llava"))
    model, config, keywords = build(text)
    generator = torch.Generator().manual_seed(0)
    for length in (16, 3):
        tokens = random_values("input_ids", (2, length), torch.int64, config, generator)
        assert not (tokens == 63).any()
        inputs = {"input_ids": tokens, "pixel_values": torch.randn(2, *keywords["pixel_values"].shape[1:])}
        filled = with_placeholders(model, config, inputs, generator)["input_ids"]
        assert (filled == 63).sum(1).tolist() == [4, 4]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Dots1ForCausalLM", {"n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2}),
        ("LlamaForSequenceClassification", {"pad_token_id": 0}),
        ("LlamaForCausalLM", {"pad_token_id": None}),
    ],
)
def test_what_a_default_configuration_leaves_open_gets_a_number(name: str, expected: dict[str, Any]) -> None:
    source = Source("MODEL", f"hf:{name}?num_hidden_layers=1")
    kind, config = hugging_face.class_and_config(parse_reference(source), source)
    assert {key: getattr(config, key) for key in expected} == expected
    hugging_face.build_module(kind, config, "meta", source)


def test_sizes_are_found_in_the_part_they_belong_to() -> None:
    config = transformers.CLIPConfig(
        text_config={"hidden_size": 24},
        vision_config={"hidden_size": 48, "image_size": 64, "num_channels": 1},
    )
    sizes = ConfigSizes(config)
    assert sizes.image() == (1, 64, 64)
    assert (sizes.size("text", "hidden_size", default=0), sizes.size("vision", "hidden_size", default=0)) == (
        24,
        48,
    )
    assert sizes.size("audio", "num_mel_bins", default=7) == 7


class _Config:
    def to_dict(self) -> dict[str, Any]:
        return {}


class _OwnModel(torch.nn.Module):
    """A model that is not of transformers, and looks like one."""

    def __init__(self) -> None:
        super().__init__()
        self.config = _Config()
        self.linear = torch.nn.Linear(2, 2)

    def forward(self, input_ids: Any) -> Any:
        return self.linear(input_ids)


def test_no_inputs_are_guessed_for_a_model_of_the_users_own() -> None:
    with pytest.raises(MissingInputs):
        capture_module(_OwnModel(), None)
    assert list(capture_module(_OwnModel(), (torch.empty(2, 2),)).inputs) == ["0"]
