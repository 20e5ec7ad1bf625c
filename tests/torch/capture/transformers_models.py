"""Models of transformers at sizes for tests."""

from __future__ import annotations

_USUAL = "hidden_size=64&intermediate_size=128&num_hidden_layers=2&num_attention_heads=4&vocab_size=256"
_GROUPED = f"{_USUAL}&num_key_value_heads=2"
_BERT = f"{_USUAL}&hidden_dropout_prob=0&attention_probs_dropout_prob=0&max_position_embeddings=128"
_SHORT = "max_position_embeddings=128"

FAMILIES = {
    "LlamaForCausalLM": f"{_GROUPED}&{_SHORT}",
    "Qwen2ForCausalLM": f"{_GROUPED}&{_SHORT}",
    "Qwen3ForCausalLM": f"{_GROUPED}&{_SHORT}&head_dim=16",
    "MistralForCausalLM": f"{_GROUPED}&{_SHORT}&head_dim=16&sliding_window=32",
    "Gemma3ForCausalLM": f"{_GROUPED}&{_SHORT}&num_hidden_layers=7&head_dim=16&sliding_window=32".replace(
        "num_hidden_layers=2&", ""
    ),
    "Phi3ForCausalLM": f"{_GROUPED}&{_SHORT}&original_max_position_embeddings=128&pad_token_id=0",
    "GPT2LMHeadModel": "n_embd=64&n_layer=2&n_head=4&vocab_size=256&n_positions=128"
    "&attn_pdrop=0&embd_pdrop=0&resid_pdrop=0",
    "GPTNeoXForCausalLM": f"{_USUAL}&{_SHORT}",
    "Olmo2ForCausalLM": f"{_GROUPED}&{_SHORT}",
    "MixtralForCausalLM": f"{_GROUPED}&{_SHORT}&num_local_experts=4",
    "Qwen3MoeForCausalLM": f"{_GROUPED}&{_SHORT}&moe_intermediate_size=32&num_experts=4"
    "&num_experts_per_tok=2&head_dim=16",
    "DeepseekV3ForCausalLM": f"{_USUAL}&{_SHORT}&num_key_value_heads=4&moe_intermediate_size=32"
    "&n_routed_experts=8&num_experts_per_tok=2&n_group=2&topk_group=1&first_k_dense_replace=1"
    "&q_lora_rank=32&kv_lora_rank=16&qk_rope_head_dim=8&qk_nope_head_dim=16&v_head_dim=16",
    "BertForMaskedLM": _BERT,
    "BertForSequenceClassification": _BERT,
    "T5ForConditionalGeneration": "d_model=64&d_ff=128&num_layers=2&num_decoder_layers=2&num_heads=4&d_kv=16"
    "&vocab_size=256&dropout_rate=0",
    "ViTForImageClassification": "hidden_size=64&intermediate_size=128&num_hidden_layers=2"
    "&num_attention_heads=4&image_size=32&patch_size=8",
    "WhisperForConditionalGeneration": "d_model=64&encoder_layers=2&decoder_layers=2"
    "&encoder_attention_heads=4&decoder_attention_heads=4&encoder_ffn_dim=128&decoder_ffn_dim=128"
    "&vocab_size=256&pad_token_id=0&decoder_start_token_id=1&max_source_positions=64&max_target_positions=64",
}


def reference(name: str) -> str:
    """What a small model of a family is captured from."""
    return f"hf:{name}?{FAMILIES[name]}"
