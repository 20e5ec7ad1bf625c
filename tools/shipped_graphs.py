"""Captures the graphs that are shipped with planc, at the sizes of the published models.

    python tools/shipped_graphs.py [NAME...]

Only configurations are needed: no weights, no network. The same versions of torch and
transformers (those of constraints.txt) give the same bytes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from planc.cli import main

PLANS = Path(__file__).parent.parent / "plans"


def hf(class_name: str, **configuration: object) -> str:
    """A reference to a model of transformers."""
    return f"hf:{class_name}?" + "&".join(f"{key}={value}" for key, value in configuration.items())


def decoder(
    width: int, ffn: int, layers: int, heads: int, kv: int, vocab: int, **more: object
) -> dict[str, object]:
    """What most decoders have in their configuration."""
    return {
        "hidden_size": width, "intermediate_size": ffn, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv, "vocab_size": vocab, **more,
    }  # fmt: skip


def mixture(experts: int, each: int, chosen: int) -> dict[str, object]:
    """What mixtures of experts have beside that, in Qwen's words."""
    return {"num_experts": experts, "moe_intermediate_size": each, "num_experts_per_tok": chosen}


MODELS = {
    "llama-3-8b": hf("LlamaForCausalLM", **decoder(4096, 14336, 32, 32, 8, 128256)),
    "llama-3-70b": hf("LlamaForCausalLM", **decoder(8192, 28672, 80, 64, 8, 128256)),
    "llama-3-405b": hf("LlamaForCausalLM", **decoder(16384, 53248, 126, 128, 8, 128256)),
    "qwen2.5-7b": hf("Qwen2ForCausalLM", **decoder(3584, 18944, 28, 28, 4, 152064)),
    "qwen2.5-72b": hf("Qwen2ForCausalLM", **decoder(8192, 29568, 80, 64, 8, 152064)),
    "qwen3-8b": hf("Qwen3ForCausalLM", **decoder(4096, 12288, 36, 32, 8, 151936, head_dim=128)),
    "mistral-7b": hf("MistralForCausalLM", **decoder(4096, 14336, 32, 32, 8, 32768, head_dim=128)),
    "gemma-3-4b": hf("Gemma3ForCausalLM", **decoder(2560, 10240, 34, 8, 4, 262208, head_dim=256)),
    "phi-3-mini": hf("Phi3ForCausalLM", **decoder(3072, 8192, 32, 32, 32, 32064)),
    "phi-4": hf("Phi3ForCausalLM", **decoder(5120, 17920, 40, 40, 10, 100352)),
    "gpt2": hf("GPT2LMHeadModel", n_embd=768, n_layer=12, n_head=12),
    "gpt2-medium": hf("GPT2LMHeadModel", n_embd=1024, n_layer=24, n_head=16),
    "pythia-6.9b": hf("GPTNeoXForCausalLM", hidden_size=4096, intermediate_size=16384,
                      num_hidden_layers=32, num_attention_heads=32, vocab_size=50432),
    "olmo-2-7b": hf("Olmo2ForCausalLM", **decoder(4096, 11008, 32, 32, 32, 100352)),
    "mixtral-8x7b": hf("MixtralForCausalLM", **decoder(4096, 14336, 32, 32, 8, 32000)),
    "qwen3-30b-a3b": hf("Qwen3MoeForCausalLM",
                        **decoder(2048, 6144, 48, 32, 4, 151936, head_dim=128, **mixture(128, 768, 8))),
    "deepseek-v3": hf("DeepseekV3ForCausalLM"),
    "bert-base": hf("BertForMaskedLM"),
    "bert-base-classifier": hf("BertForSequenceClassification"),
    "t5-base": hf("T5ForConditionalGeneration", d_model=768, d_ff=3072, num_layers=12, num_heads=12),
    "vit-base": hf("ViTForImageClassification", num_labels=1000),
    "whisper-small": hf("WhisperForConditionalGeneration", d_model=768, encoder_layers=12,
                        decoder_layers=12, encoder_attention_heads=12, decoder_attention_heads=12,
                        encoder_ffn_dim=3072, decoder_ffn_dim=3072),
}  # fmt: skip
"""By the name of the published model: its class and what its configuration says."""


def capture(names: list[str]) -> int:
    """Capture some models, or all. Returns the exit status."""
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        print(f"no such model: {', '.join(unknown)}", file=sys.stderr)
        return 2
    return max(
        main(["capture", MODELS[name].removesuffix("?"), "-o", str(PLANS / f"{name}.graph.json.gz")])
        for name in names or MODELS
    )


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # Some code of transformers goes over a set of words: its order is the graph's.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
    sys.exit(capture(sys.argv[1:]))
