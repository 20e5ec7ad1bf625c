"""`save_pretrained` of split models of transformers."""

from __future__ import annotations

import os
from typing import Any

import torch
import transformers
from torch.distributed.device_mesh import init_device_mesh

import planc

MODELS: dict[str, Any] = {
    "llama": (
        transformers.LlamaForCausalLM,
        transformers.LlamaConfig(
            hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, vocab_size=128
        ),
    ),
    "gpt2": (
        transformers.GPT2LMHeadModel,
        transformers.GPT2Config(n_embd=32, n_layer=1, n_head=4, vocab_size=64, n_positions=64, bos_token_id=0, eos_token_id=0),
    ),
}  # fmt: skip


def saved(folder: str, name: str, dp: int, tp: int, **options: Any) -> dict[str, Any]:
    """The files that all ranks save together, and how far what transformers reads from them is from the unsplit model."""
    model_class, config = MODELS[name]
    torch.manual_seed(0)
    model = model_class(config)
    weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    mesh = init_device_mesh("cpu", (dp, tp), mesh_dim_names=("dp", "tp"))
    planc.parallelize(model, name, mesh)
    model.save_pretrained(folder, **options)
    read = model_class.from_pretrained(folder).state_dict()
    off = max(float((read[key] - tensor).abs().max()) for key, tensor in weights.items())
    return {"off": off, "files": sorted(file for file in os.listdir(folder) if "safetensors" in file)}
