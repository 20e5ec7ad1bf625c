"""Captures the models of this folder again.

python -m tests.graph.captured [NAME...]
"""

from __future__ import annotations

import sys
from pathlib import Path

from planc.graph.graph_writer import graph_to_bytes
from planc.ir.graph import ModelGraph

FOLDER = Path(__file__).parent
PLAIN_MODELS = (
    "lm",
    "normed",
    "counted",
    "fused",
    "pooled",
    "centred",
    "pairs",
    "fourier",
    "scaled",
    "batches",
    "mlp",
    "doubled",
    "weight_read",
    "auxiliary",
    "in_place",
)
"""The factories of `nets.py`."""
_TINY = "hidden_size=64&intermediate_size=128&num_hidden_layers=2&num_attention_heads=8&vocab_size=256"
FAMILIES = {
    "llama": f"hf:LlamaForCausalLM?{_TINY}&num_key_value_heads=4",
    "qwen3": f"hf:Qwen3ForCausalLM?{_TINY}&num_key_value_heads=4&head_dim=16",
    "phi3": f"hf:Phi3ForCausalLM?{_TINY}&num_key_value_heads=4&pad_token_id=0",
    "gpt2": "hf:GPT2LMHeadModel?n_embd=64&n_layer=2&n_head=8&vocab_size=256",
    "bert": f"hf:BertForMaskedLM?{_TINY}",
    "t5": "hf:T5ForConditionalGeneration?d_model=64&d_ff=128&num_layers=2&num_heads=8&d_kv=8&vocab_size=256",
    "whisper": "hf:WhisperForConditionalGeneration?d_model=64&encoder_layers=2&decoder_layers=2&"
    "encoder_attention_heads=4&decoder_attention_heads=4&encoder_ffn_dim=128&decoder_ffn_dim=128&vocab_size=256&"
    "pad_token_id=0&decoder_start_token_id=1&max_source_positions=64",
}
"""Models of transformers, at small sizes."""


def recapture(name: str) -> ModelGraph:
    """A model of this folder, captured anew."""
    from planc.torch.capture.from_reference import capture_reference

    return capture_reference(f"{FOLDER / 'nets.py'}:{name}" if name in PLAIN_MODELS else FAMILIES[name])


def main() -> None:
    for name in sys.argv[1:] or (*PLAIN_MODELS, *FAMILIES):
        (FOLDER / f"{name}.graph.json.gz").write_bytes(graph_to_bytes(recapture(name)))
        print(name)


if __name__ == "__main__":
    main()
