"""Smaller models for `planc verify`: what the mesh divides in the full model it divides in the small one."""

from __future__ import annotations

import gzip
import json
import math
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from planc.graph.capture_error import CaptureError
from planc.graph.graph_writer import write_graph_file
from planc.ir.diagnostic import Diagnostic
from planc.ir.source import Source
from tests.judge.families import FAMILIES

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from planc.torch.capture.from_reference import capture_reference  # noqa: E402
from planc.torch.models import hugging_face  # noqa: E402
from planc.torch.models.model_reference import parse_reference  # noqa: E402
from planc.torch.verify.equivalent_sizes import largest_head_divisor, shrink_experts, smallest_equivalent  # noqa: E402
from planc.torch.verify.shrink_model import ShrunkModel, resolve_reference, shrink_model  # noqa: E402

PLANS = Path(__file__).parents[3] / "plans"
SHIPPED = sorted(path.name.removesuffix(".graph.json.gz") for path in PLANS.glob("*.graph.json.gz"))
SIZES = (2, 4, 8, 16)
SMALL = 1_500_000


@cache
def built(reference: str) -> tuple[Any, Any]:
    """A model on the meta device, and its configuration."""
    source = Source("MODEL", reference)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = hugging_face.build_transformers_model(parse_reference(source), source)[0]
    return model, model.config


def references() -> list[tuple[str, tuple[int, ...]]]:
    """Each family at the size that transformers gives it, and what is shipped."""
    families = [f"hf:{family.model}" for family in FAMILIES.values()]
    more = [shipped_reference(name) for name in SHIPPED]
    return [(one, SIZES) for one in families] + [(one, (8,)) for one in more if one not in families]


def shipped_reference(name: str) -> str:
    """What the file of a graph says, read without planc."""
    with gzip.open(PLANS / f"{name}.graph.json.gz") as file:
        model: str = json.load(file)["model"]
    return model


def short(item: object) -> str:
    return item.removeprefix("hf:").partition("&")[0] if isinstance(item, str) else "by"


def shapes(reference: str) -> Mapping[str, tuple[int, ...]]:
    return {name: tuple(one.shape) for name, one in built(reference)[0].named_parameters()}


def number(config: Any, name: str) -> int | None:
    value = getattr(config, name, None)
    return value if type(value) is int else None


def is_of_one_head(name: str) -> bool:
    """Norms over one head: sixteen parts of each of 32 heads would make the small model a large one."""
    return name.endswith(("q_norm.weight", "k_norm.weight"))


def undivided_numbers(reference: str, small: ShrunkModel, parts: int) -> Iterator[str]:
    """Dims that the ranks share in the one model and not in the other, or that are alike in one alone."""
    full = shapes(reference)
    for name, few in shapes(small.reference).items():
        many = full[name]
        assert len(many) == len(few)
        if not (is_of_one_head(name) and parts > 4):
            yield from (
                f"{name} {many} {few}" for a, b in zip(many, few) if math.gcd(a, parts) != math.gcd(b, parts)
            )
        if len(many) == 2 and (many[0] == many[1]) != (few[0] == few[1]) and "wpe" not in name:
            yield f"{name} {many} {few}: which dim is which"


@pytest.mark.parametrize(("reference", "sizes"), references(), ids=short)
def test_divides_as_the_full_model(reference: str, sizes: tuple[int, ...]) -> None:
    full = built(reference)[1]
    for parts in sizes:
        small = shrink_model(reference, {"tp": parts})
        model, config = built(small.reference)
        assert list(undivided_numbers(reference, small, parts)) == []
        assert sum(one.numel() for one in model.parameters()) < SMALL
        assert small.changes
        # One head is not shared as it was where that would make the model large: this is said.
        assert all(note.startswith("not divided as in the full model: ") for note in small.notes)
        assert all("_norm.weight" in note and "and" not in note for note in small.notes)
        ratios(full, config)
        inside(config)


def ratios(full: Any, small: Any) -> None:
    """Heads to heads of keys, and the choice of experts."""
    for config in (full, small):
        kept = (number(config, "num_attention_heads"), number(config, "num_key_value_heads"))
        if None in kept:
            return
    assert full.num_attention_heads * small.num_key_value_heads == (
        small.num_attention_heads * full.num_key_value_heads
    )
    groups = number(small, "n_group")
    if groups is not None and number(small, "n_routed_experts") is not None:
        each = small.n_routed_experts // groups
        assert small.n_routed_experts % groups == 0
        assert each >= 2  # scores of groups are sums of their two best
        assert small.topk_group * full.n_group == full.topk_group * groups
        assert small.num_experts_per_tok <= small.topk_group * each


def inside(config: Any) -> None:
    """Ids below the vocabulary, windows shorter than a run, heads that rotary positions can turn."""
    words = number(config, "vocab_size")
    for name, value in vars(config).items():
        if words is not None and name.endswith("_token_id") and type(value) is int:
            assert value < words
    window = number(config, "sliding_window")
    assert window is None or 0 < window < 16
    each = number(config, "head_dim")
    assert each is None or each % 2 == 0
    most = number(config, "max_position_embeddings")
    assert most is None or most >= 64


@pytest.mark.parametrize("name", FAMILIES)
def test_can_be_captured(name: str) -> None:
    small = shrink_model(f"hf:{FAMILIES[name].model}", {"tp": 2})
    assert capture_reference(small.reference).model == small.reference


BY_HAND = [
    # 32 heads over 8 of keys: 2 ranks get two heads of keys each with 16 over 4.
    ("hf:MistralForCausalLM", {"tp": 2}, {"num_attention_heads": 16, "num_key_value_heads": 4}),
    # 16 ranks cannot share 8 heads of keys; 4 of them could not either, and would be another plan's fault.
    ("hf:MistralForCausalLM", {"tp": 16}, {"num_attention_heads": 32, "num_key_value_heads": 8}),
    # Four ranks share 12 heads, eight do not.
    ("hf:BertForMaskedLM", {"tp": 8}, {"num_attention_heads": 12}),
    # Two axes that both share dims are as one of their product.
    ("hf:MistralForCausalLM", {"tp": 4, "ep": 4}, {"num_attention_heads": 32, "num_key_value_heads": 8}),
    # Gemma: five blocks with a window, one without.
    ("hf:Gemma3ForCausalLM", {"tp": 2}, {"num_hidden_layers": 6}),
    # DeepSeek: three dense blocks, one with experts; two groups of two experts, of which one is chosen.
    ("hf:DeepseekV3ForCausalLM", {"tp": 2}, {
        "num_hidden_layers": 4, "first_k_dense_replace": 3, "n_routed_experts": 4, "n_group": 2, "topk_group": 1}),
    ("hf:WhisperForConditionalGeneration", {"tp": 2}, {"encoder_layers": 2, "decoder_layers": 2}),
    ("hf:T5ForConditionalGeneration", {"tp": 2}, {"num_layers": 2, "num_decoder_layers": 2}),
]  # fmt: skip


@pytest.mark.parametrize(("reference", "sizes", "wanted"), BY_HAND)
def test_by_hand(reference: str, sizes: dict[str, int], wanted: dict[str, int]) -> None:
    config = built(shrink_model(reference, sizes).reference)[1]
    assert {name: getattr(config, name) for name in wanted} == wanted


def test_what_is_not_shared_as_it_was_is_said() -> None:
    small = shrink_model("hf:Qwen3ForCausalLM", {"tp": 16})
    assert small.notes == (
        "not divided as in the full model: model.layers.*.self_attn.q_norm.weight 128 -> 4, "
        "model.layers.*.self_attn.k_norm.weight 128 -> 4",
    )


def test_small_tables_beside_the_vocabulary_stay() -> None:
    """RoBERTa's table of types has a row; ids that mean something are below the vocabulary all the same."""
    config = built(shrink_model("hf:RobertaForMaskedLM?eos_token_id=40000", {"tp": 2}).reference)[1]
    assert config.eos_token_id < config.vocab_size < 300
    assert config.type_vocab_size == built("hf:RobertaForMaskedLM")[1].type_vocab_size


def test_odd_vocabulary_stays_odd() -> None:
    config = built(shrink_model("hf:LlamaForCausalLM?vocab_size=32001", {"tp": 2}).reference)[1]
    assert config.vocab_size < 300
    assert config.vocab_size % 2 == 1


def test_both_sorts_of_blocks_are_left() -> None:
    config = built(shrink_model("hf:Gemma3ForCausalLM", {"tp": 2}).reference)[1]
    assert set(config.layer_types) == {"sliding_attention", "full_attention"}


def test_every_block_stays_where_it_is_asked_for() -> None:
    config = built(shrink_model("hf:BertForMaskedLM", {"tp": 2}, keep_depth=True).reference)[1]
    assert (config.num_hidden_layers, config.hidden_size) == (12, 32)


def test_changes_say_what_is_smaller() -> None:
    changes = shrink_model("hf:LlamaForCausalLM", {"tp": 2}).changes
    assert "num_hidden_layers 32 -> 2" in changes
    assert "num_attention_heads 32 -> 4" in changes


def test_small_model_is_not_made_larger() -> None:
    reference = FAMILIES["llama"].reference
    full = sum(one.numel() for one in built(reference)[0].parameters())
    small = sum(one.numel() for one in built(shrink_model(reference, {"tp": 2}).reference)[0].parameters())
    assert small <= full


def test_parts_of_a_configuration(tmp_path: Path) -> None:
    """A model of text and images from a file: each part is made smaller by itself."""
    reference = write_config(tmp_path, architectures=["CLIPModel"], model_type="clip")
    model, config = built(shrink_model(reference, {"tp": 2}).reference)
    full = built(reference)[1]
    for part in ("text_config", "vision_config"):
        small, large = getattr(config, part), getattr(full, part)
        assert small.num_hidden_layers == 2
        assert small.hidden_size < 100 < large.hidden_size
    assert sum(one.numel() for one in model.parameters()) < SMALL


def test_layers_of_a_file(tmp_path: Path) -> None:
    """Kinds of blocks in an order that a shorter model would not have: all stay, and a note says so."""
    kinds = ["full_attention", *["sliding_attention"] * 7]
    reference = write_config(
        tmp_path, architectures=["Gemma3ForCausalLM"], model_type="gemma3_text", num_hidden_layers=8,
        layer_types=kinds,
    )  # fmt: skip
    small = shrink_model(reference, {"tp": 2})
    config = built(small.reference)[1]
    assert set(config.layer_types) == set(kinds)
    assert config.num_hidden_layers == 8 or config.layer_types[: len(kinds)] != kinds


def write_config(folder: Path, **config: Any) -> str:
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return f"hf:{path}"


def test_what_cannot_be_smaller_is_run_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = "hf:BertForMaskedLM"
    build = hugging_face.build_transformers_model

    def only_full(parsed: Any, source: Source) -> Any:
        if "?" in source.text:
            raise CaptureError(fault())
        return build(parsed, source)

    monkeypatch.setattr(hugging_face, "build_transformers_model", only_full)
    small = shrink_model(reference, {"tp": 2})
    assert small.reference == reference
    assert small.notes[-1].startswith("the model is run as it is")


def fault() -> Any:
    with pytest.raises(CaptureError) as raised:
        parse_reference(Source("MODEL", "nothing"))
    return raised.value.diagnostic


def test_factories_are_run_as_they_are() -> None:
    small = shrink_model("tests/judge/toys.py:llama", {"tp": 2})
    assert small.reference == "tests/judge/toys.py:llama"
    assert small.notes


@pytest.mark.parametrize("name", SHIPPED)
def test_a_graph_stands_for_what_it_was_captured_from(name: str) -> None:
    assert (
        resolve_reference(name)
        == resolve_reference(str(PLANS / f"{name}.graph.json.gz"))
        == shipped_reference(name)
    )


def test_configuration_beside_its_graph(tmp_path: Path) -> None:
    kind = {"architectures": ["BertForMaskedLM"], "model_type": "bert"}
    path = write_config(tmp_path, **kind, num_hidden_layers=2)
    graph = str(tmp_path / "bert.graph.json")
    write_graph_file(capture_reference(path), graph)
    assert resolve_reference(graph) == path
    write_config(tmp_path, **kind, num_hidden_layers=3)
    assert "got: num_hidden_layers 3" in notes_of(graph)
    (tmp_path / "config.json").unlink()
    assert "config.json" in rejection(graph).message


def test_graph_of_code(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(
        "import torch\ndef made():\n    return torch.nn.Linear(4, 4), (torch.ones(2, 4),)\n"
    )
    graph = str(tmp_path / "code.graph.json")
    write_graph_file(capture_reference(f"{tmp_path}/code.py:made"), graph)
    assert "got: code.py:made" in notes_of(graph)


def test_no_such_graph() -> None:
    assert "no graph 'no-such-graph'" in rejection("no-such-graph").message


def rejection(reference: str) -> Diagnostic:
    with pytest.raises(CaptureError) as raised:
        resolve_reference(reference)
    assert raised.value.diagnostic.law.code == "G803"
    return raised.value.diagnostic


def notes_of(reference: str) -> tuple[str, ...]:
    return rejection(reference).notes


@pytest.mark.parametrize(
    ("count", "parts", "least", "wanted"),
    [(50257, 2, 250, 251), (32000, 8, 250, 256), (1500, 16, 24, 28), (12, 8, 30, 12), (7, 2, 3, 3)],
)
def test_like(count: int, parts: int, least: int, wanted: int) -> None:
    assert smallest_equivalent(count, parts, least) == wanted


@pytest.mark.parametrize(
    ("counts", "parts", "wanted"),
    [((32, 8), 2, 2), ((32, 8), 16, 1), ((12,), 8, 1), ((12,), 2, 3), ((128, 128), 4, 16), ((28, 4), 2, 1)],
)
def test_divisor(counts: tuple[int, ...], parts: int, wanted: int) -> None:
    assert largest_head_divisor(counts, parts) == wanted


@pytest.mark.parametrize(
    ("count", "groups", "parts", "wanted"), [(256, 8, 2, (4, 2)), (8, 1, 8, (8, 1)), (128, 1, 16, (16, 1))]
)
def test_experts(count: int, groups: int, parts: int, wanted: tuple[int, int]) -> None:
    assert shrink_experts(count, groups, parts) == wanted
