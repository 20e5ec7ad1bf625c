"""Canaries: a release of transformers that drops or changes an undocumented name fails here first."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from planc.torch.compat import TRUNC_NORMAL  # noqa: E402
from planc.torch.models import compat  # noqa: E402
from tests.torch.canaries import Canaries  # noqa: E402

CANARIES = Canaries(compat, f"transformers {transformers.__version__}")
canary = CANARIES.check


@pytest.mark.parametrize("name", compat.__all__)
def test_an_undocumented_name_of_transformers_does_what_planc_needs(name: str) -> None:
    CANARIES.run(name)


def _llama() -> Any:
    config = transformers.LlamaConfig(
        hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=8
    )
    with torch.device("meta"):
        return transformers.LlamaForCausalLM(config)


@canary(
    "use_attention", "use_experts", breaks="capture: transformers would choose kernels that no rule knows"
)
def _kernels() -> None:
    config = transformers.MixtralConfig()
    compat.use_attention(config, "eager")
    assert config._attn_implementation == "eager"
    compat.use_experts(config, "batched_mm")
    assert config._experts_implementation == "batched_mm"


@canary("attention_of", "has_sdpa", breaks="parallelize: a model with flash attention is not captured")
def _kernels_of_a_model() -> None:
    config = _llama().config
    assert compat.attention_of(config) == "sdpa"
    assert compat.has_sdpa(transformers.LlamaForCausalLM)
    assert not compat.has_sdpa(transformers.GptOssForCausalLM)


@canary("masking_module", breaks="capture: masks of packed sequences stand in every graph")
def _masks() -> None:
    import transformers.masking_utils as masks

    assert compat.masking_module() is masks


@canary(
    "stored_initializers", breaks="materialize: transformers' initializers look at numbers that are not there"
)
def _initializers() -> None:
    import transformers.initialization  # noqa: F401

    assert TRUNC_NORMAL.removeprefix("_no_grad_") in compat.stored_initializers()


@canary("ignored_weight_patterns", breaks="load_weights: names that a model skips are called surplus")
def _ignored() -> None:
    assert hasattr(transformers.PreTrainedModel, "_keys_to_ignore_on_load_unexpected")
    assert list(compat.ignored_weight_patterns(object())) == []


@canary(
    "WeightConversion", "weight_conversion", breaks="load_weights: files whose tensors transformers renames"
)
def _conversion() -> None:
    found = compat.weight_conversion(_llama())
    assert sorted(["layer.10", "layer.9"], key=found.sort_key) == ["layer.9", "layer.10"]
    name = "model.layers.0.self_attn.q_proj.weight"
    assert found.rename(name, found.renamings, found.converters, "model", {name: True})[0] == name
