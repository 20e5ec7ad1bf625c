"""The families of the shipped plans at small sizes, which tell one dim from another, and what of them may vary."""

from __future__ import annotations

from tests.mutation.variants import Family

_BASE = "hidden_size=64&intermediate_size=128&num_hidden_layers=2&num_attention_heads=8&vocab_size=256"
_GQA = f"{_BASE}&num_key_value_heads=4"
_MOE = "moe_intermediate_size=32&num_experts_per_tok=2"
_TIED = "tie_word_embeddings=true"
_HEADS = ("num_attention_heads=4&num_key_value_heads=2", "num_key_value_heads=8", "num_key_value_heads=2")
_WIDTHS = ("intermediate_size=96", "intermediate_size=126", "vocab_size=258")
_USUAL = (*_HEADS, *_WIDTHS, _TIED, "num_hidden_layers=3")
_EVEN = ("num_attention_heads=4", "num_attention_heads=2", *_WIDTHS)

FAMILIES = {
    family.plan: family
    for family in (
        Family("llama", "hf:LlamaForCausalLM", _GQA, (*_USUAL, "attention_bias=true", "mlp_bias=true")),
        Family("qwen2", "hf:Qwen2ForCausalLM", _GQA, _USUAL),
        Family("qwen3", "hf:Qwen3ForCausalLM", f"{_GQA}&head_dim=16", (*_USUAL, "attention_bias=true")),
        Family("mistral", "hf:MistralForCausalLM", f"{_GQA}&head_dim=8&sliding_window=6", _USUAL),
        Family(
            "gemma3",
            "hf:Gemma3ForCausalLM",
            f"{_GQA}&head_dim=16&sliding_window=6".replace("layers=2", "layers=6"),
            (*_HEADS, *_WIDTHS, "tie_word_embeddings=false"),
        ),
        Family("phi3", "hf:Phi3ForCausalLM", f"{_GQA}&pad_token_id=0", _USUAL),
        Family(
            "gpt2",
            "hf:GPT2LMHeadModel",
            "n_embd=64&n_layer=2&n_head=8&vocab_size=256",
            (
                "n_head=4",
                "n_head=2",
                "n_inner=96",
                "n_inner=126",
                "vocab_size=255",
                "tie_word_embeddings=false",
            ),
        ),
        Family("neox", "hf:GPTNeoXForCausalLM", _BASE, (*_EVEN, _TIED, "use_parallel_residual=false")),
        Family("olmo2", "hf:Olmo2ForCausalLM", _GQA, _USUAL),
        Family(
            "mixtral",
            "hf:MixtralForCausalLM",
            f"{_GQA}&num_local_experts=4",
            (*_USUAL, "num_local_experts=3"),
        ),
        Family(
            "qwen3_moe",
            "hf:Qwen3MoeForCausalLM",
            f"{_GQA}&{_MOE}&num_experts=4&head_dim=16",
            (
                *_HEADS,
                "moe_intermediate_size=30",
                "vocab_size=258",
                "decoder_sparse_step=2",
                "norm_topk_prob=true",
            ),
        ),
        Family(
            "deepseek_v3",
            "hf:DeepseekV3ForCausalLM",
            f"{_BASE}&{_MOE}&num_key_value_heads=8&n_routed_experts=8&first_k_dense_replace=1&n_group=2&topk_group=1"
            "&q_lora_rank=32&kv_lora_rank=16&qk_rope_head_dim=8&qk_nope_head_dim=8&v_head_dim=16",
            ("num_attention_heads=4&num_key_value_heads=4", "moe_intermediate_size=30", "n_shared_experts=2"),
        ),
        Family("bert", "hf:BertForSequenceClassification", _BASE, (*_EVEN, "num_labels=4")),
        Family("bert_mlm", "hf:BertForMaskedLM", _BASE, (*_EVEN, "tie_word_embeddings=false")),
        Family(
            "t5",
            "hf:T5ForConditionalGeneration",
            "d_model=64&d_ff=128&num_layers=2&num_heads=8&d_kv=16&vocab_size=256",
            ("num_heads=4", "num_heads=2", "d_ff=96", "vocab_size=258", "tie_word_embeddings=false")
            + ("feed_forward_proj=gated-gelu", "num_decoder_layers=3"),
        ),
        Family(
            "vit",
            "hf:ViTForImageClassification",
            "hidden_size=64&intermediate_size=128&num_hidden_layers=2&num_attention_heads=8&image_size=32"
            "&patch_size=8",
            ("num_attention_heads=4", "intermediate_size=126", "qkv_bias=false", "image_size=24"),
        ),
        Family(
            "whisper",
            "hf:WhisperForConditionalGeneration",
            "d_model=64&encoder_layers=2&decoder_layers=2&encoder_attention_heads=8&decoder_attention_heads=8"
            "&encoder_ffn_dim=128&decoder_ffn_dim=128&vocab_size=256&num_mel_bins=16&max_source_positions=24"
            "&pad_token_id=0&bos_token_id=1&eos_token_id=2&decoder_start_token_id=1",
            (
                "encoder_attention_heads=4",
                "decoder_attention_heads=4",
                "encoder_ffn_dim=126",
                "vocab_size=255",
            )
            + ("max_source_positions=26",),
        ),
    )
}
