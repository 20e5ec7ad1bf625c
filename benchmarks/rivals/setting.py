"""What is measured: a model, how many ranks split it in which way, and the batches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

LOW = torch.bfloat16
"""What GPUs compute in."""


@dataclass(frozen=True)
class Model:
    """The sizes of a Llama; by default those of Llama 2's vocabulary and Llama 3's 8B in width."""

    layers: int = 8
    width: int = 4096
    inner: int = 14336
    heads: int = 32
    pairs: int = 8
    words: int = 32000
    length: int = 2048

    def config(self) -> LlamaConfig:
        """The model as transformers knows it."""
        return LlamaConfig(
            vocab_size=self.words, hidden_size=self.width, intermediate_size=self.inner,
            num_hidden_layers=self.layers, num_attention_heads=self.heads, num_key_value_heads=self.pairs,
            max_position_embeddings=self.length, tie_word_embeddings=False, attention_dropout=0.0,
        )  # fmt: skip


SMALL = Model(layers=2, width=64, inner=128, heads=4, pairs=4, words=128, length=16)


@dataclass(frozen=True)
class Setting:
    """One way to use the ranks: `dp` groups of `tp`."""

    model: Model
    dp: int
    tp: int
    compiled: bool
    recomputed: bool
    device: torch.device

    @property
    def kind(self) -> str:
        """What `--only` calls it."""
        if self.dp == self.tp == 1:
            return "one"
        return "both" if self.dp > 1 and self.tp > 1 else "tp" if self.tp > 1 else "fsdp"

    @property
    def name(self) -> str:
        """What the table calls it."""
        ways = [f"fsdp {self.dp}"] * (self.dp > 1) + [f"tp {self.tp}"] * (self.tp > 1)
        return " x ".join(ways) or "one rank"

    @property
    def mode(self) -> str:
        """What the table calls how it is run."""
        return "compiled" if self.compiled else "eager"

    @property
    def low(self) -> torch.dtype:
        """What products are computed in."""
        return LOW if self.device.type == "cuda" else torch.float32

    @property
    def weights(self) -> torch.dtype:
        """What weights are kept in: FSDP keeps float32, and gathers what is computed with."""
        return torch.float32 if self.dp > 1 else self.low


def ways(ranks: int) -> list[tuple[int, int]]:
    """Every (dp, tp) of so many ranks, tensor axes first."""
    return [(ranks // tp, tp) for tp in range(ranks, 0, -1) if ranks % tp == 0]


def whole(setting: Setting) -> LlamaForCausalLM:
    """The model before anybody splits it: the same numbers on every rank, and for every rival."""
    torch.manual_seed(0)
    with setting.device:
        model = LlamaForCausalLM(setting.model.config())
    return model.to(setting.weights).train()


def batches(setting: Setting, rows: int, data_rank: int, count: int = 4) -> list[Tensor]:
    """Batches of (rows, length + 1) ids that are taken in turn: a model can learn them by heart, so its
    loss tells whether it learns. Ranks of a tensor group have the same, data ranks each their own; batches
    of other sizes have other texts."""
    chosen = torch.Generator().manual_seed(1000 * rows + data_rank)
    shape = (rows, setting.model.length + 1)
    drawn = (torch.randint(setting.model.words, shape, generator=chosen) for _ in range(count))
    return [ids.to(setting.device) for ids in drawn]
