"""Which fact of a configuration an attribute of a module holds."""

from __future__ import annotations

import pytest

from planc.fixes.fact_names import fact_of_attribute

OPT = {
    "ffn_dim": 256,
    "hidden_size": 128,
    "num_attention_heads": 8,
    "num_hidden_layers": 2,
    "word_embed_proj_dim": 128,
}
LLAMA = {
    "head_dim": 32,
    "hidden_size": 256,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "use_cache": True,
}
WHISPER = {"decoder_attention_heads": 4, "encoder_attention_heads": 4, "num_attention_heads": 4}
GPT2 = {"hidden_size": 768, "n_embd": 768, "n_head": 12, "num_attention_heads": 12, "num_hidden_layers": 12}


@pytest.mark.parametrize(
    ("name", "value", "facts", "fact"),
    [
        ("num_heads", 8, OPT, "num_attention_heads"),
        ("n_heads", 8, OPT, "num_attention_heads"),
        ("embed_dim", 128, OPT, "hidden_size"),
        ("d_model", 128, OPT, "hidden_size"),
        ("n_kv_heads", 8, LLAMA, "num_key_value_heads"),
        ("config.num_key_value_heads", 8, LLAMA, "num_key_value_heads"),
        ("n_head", 12, GPT2, "n_head"),
        # Another value, another thing of this value, and two things of one name.
        ("num_heads", 4, OPT, None),
        ("num_layers_per_group", 2, OPT, None),
        ("split_size", 256, OPT, None),
        ("use_cache", 1, LLAMA, None),
        ("num_heads", 4, WHISPER, None),
    ],
)  # fmt: skip
def test_facts(name: str, value: int, facts: dict[str, int | bool], fact: str | None) -> None:
    assert fact_of_attribute(name, value, facts) == fact
