"""What is measured: a model, the shape of the mesh, and the batches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

GPU_DTYPE = torch.bfloat16
"""The dtype of computation on GPUs."""


@dataclass(frozen=True)
class Model:
    """The sizes of a Llama; by default with the vocabulary of Llama 2 and the widths of Llama 3 8B."""

    layers: int = 8
    width: int = 4096
    ffn_width: int = 14336
    heads: int = 32
    kv_heads: int = 8
    vocab_size: int = 32000
    length: int = 2048

    def config(self) -> LlamaConfig:
        """The configuration of transformers."""
        return LlamaConfig(
            vocab_size=self.vocab_size, hidden_size=self.width, intermediate_size=self.ffn_width,
            num_hidden_layers=self.layers, num_attention_heads=self.heads, num_key_value_heads=self.kv_heads,
            max_position_embeddings=self.length, tie_word_embeddings=False, attention_dropout=0.0,
        )  # fmt: skip


SMALL = Model(layers=2, width=64, ffn_width=128, heads=4, kv_heads=4, vocab_size=128, length=16)


@dataclass(frozen=True)
class Setting:
    """A model and a mesh of `dp` x `tp` ranks."""

    model: Model
    dp: int
    tp: int
    compiled: bool
    recomputed: bool
    device: torch.device

    @property
    def kind(self) -> str:
        """Its name for `--only`."""
        if self.dp == self.tp == 1:
            return "one"
        return "both" if self.dp > 1 and self.tp > 1 else "tp" if self.tp > 1 else "fsdp"

    @property
    def name(self) -> str:
        """Its name in the table."""
        axes = [f"fsdp {self.dp}"] * (self.dp > 1) + [f"tp {self.tp}"] * (self.tp > 1)
        return " x ".join(axes) or "one rank"

    @property
    def mode(self) -> str:
        """`compiled` or `eager`."""
        return "compiled" if self.compiled else "eager"

    @property
    def compute_dtype(self) -> torch.dtype:
        """The dtype of matrix products."""
        return GPU_DTYPE if self.device.type == "cuda" else torch.float32

    @property
    def weight_dtype(self) -> torch.dtype:
        """The dtype of stored weights: FSDP keeps float32, and gathers the dtype of computation."""
        return torch.float32 if self.dp > 1 else self.compute_dtype


def mesh_shapes(ranks: int) -> list[tuple[int, int]]:
    """All (dp, tp) with this product, the largest tensor axis first."""
    return [(ranks // tp, tp) for tp in range(ranks, 0, -1) if ranks % tp == 0]


def unsplit_model(setting: Setting) -> LlamaForCausalLM:
    """The unsplit model, with the same weights on every rank and for every rival."""
    torch.manual_seed(0)
    with setting.device:
        model = LlamaForCausalLM(setting.model.config())
    return model.to(setting.weight_dtype).train()


def batches(setting: Setting, rows: int, data_rank: int, count: int = 4) -> list[Tensor]:
    """Batches of (rows, length + 1) random ids, used in turn: a model can memorize them, so its loss shows
    whether it learns. The ranks of a tensor group get the same batches, each data rank its own."""
    generator = torch.Generator().manual_seed(1000 * rows + data_rank)
    shape = (rows, setting.model.length + 1)
    ids = (torch.randint(setting.model.vocab_size, shape, generator=generator) for _ in range(count))
    return [each.to(setting.device) for each in ids]
