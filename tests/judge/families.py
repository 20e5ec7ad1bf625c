"""Small models of the shipped families: sizes that tell every dim from every other where they can."""

from __future__ import annotations

from typing import Any, NamedTuple

_BASE = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 8,
         "vocab_size": 256}  # fmt: skip
_GQA = {**_BASE, "num_key_value_heads": 4}
_MOE = {"moe_intermediate_size": 32, "num_experts_per_tok": 2}


class Family(NamedTuple):
    """A plan, and the model that it is held against."""

    plan: str
    model: str
    settings: dict[str, Any]

    @property
    def reference(self) -> str:
        if self.model.startswith("toy:"):
            return f"tests/judge/toys.py:{self.plan}"
        query = "&".join(f"{key}={_format_value(value)}" for key, value in self.settings.items())
        return f"hf:{self.model}?{query}"


def _format_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


FAMILIES = {
    family.plan: family
    for family in (
        Family("llama", "LlamaForCausalLM", _GQA),
        Family("qwen2", "Qwen2ForCausalLM", _GQA),
        Family("qwen3", "Qwen3ForCausalLM", {**_GQA, "head_dim": 16}),
        Family("mistral", "MistralForCausalLM", {**_GQA, "head_dim": 8, "sliding_window": 6}),
        Family("gemma3", "Gemma3ForCausalLM", {**_GQA, "num_hidden_layers": 6, "head_dim": 16, "sliding_window": 6}),
        Family("phi3", "Phi3ForCausalLM", {**_GQA, "pad_token_id": 0}),
        Family("gpt2", "GPT2LMHeadModel", {"n_embd": 64, "n_layer": 2, "n_head": 8, "vocab_size": 256}),
        Family("neox", "GPTNeoXForCausalLM", _BASE),
        Family("olmo2", "Olmo2ForCausalLM", _GQA),
        Family("mixtral", "MixtralForCausalLM", {**_GQA, "num_local_experts": 4}),
        Family("qwen3_moe", "Qwen3MoeForCausalLM", {**_GQA, **_MOE, "num_experts": 4, "head_dim": 16}),
        Family("deepseek_v3", "DeepseekV3ForCausalLM", {
            **_BASE, **_MOE, "num_key_value_heads": 8, "num_hidden_layers": 3, "n_routed_experts": 8,
            "first_k_dense_replace": 1, "n_group": 2, "topk_group": 1, "q_lora_rank": 32, "kv_lora_rank": 16,
            "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16}),
        Family("bert", "BertForSequenceClassification", _BASE),
        Family("bert_mlm", "BertForMaskedLM", _BASE),
        Family("t5", "T5ForConditionalGeneration", {
            "d_model": 64, "d_ff": 128, "num_layers": 2, "num_heads": 8, "d_kv": 16, "vocab_size": 256}),
        Family("vit", "ViTForImageClassification", {
            "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 8,
            "image_size": 32, "patch_size": 8}),
        Family("whisper", "WhisperForConditionalGeneration", {
            "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 8,
            "decoder_attention_heads": 8, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "vocab_size": 256,
            "num_mel_bins": 16, "max_source_positions": 24, "pad_token_id": 0, "bos_token_id": 1,
            "eos_token_id": 2, "decoder_start_token_id": 1}),
    )
}  # fmt: skip
