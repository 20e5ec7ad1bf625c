"""Logits that the model's own code computes with the weight of its embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.proof.regressions.regression import D, S, SoundnessCase, V, tokens

PLAN = [
    "words rowwise",
    "up colwise",
    "down rowwise",
    "norm outputs(0: replicate -> replicate)",
    "root outputs({outputs})",
]


class TiedHead(nn.Module):
    """With `reads`, it returns something else that it computes from the last hidden states."""

    def __init__(self, *, reads: bool = False) -> None:
        super().__init__()
        self.words, self.norm = nn.Embedding(V, D), nn.LayerNorm(D)
        self.up, self.down, self.other = nn.Linear(D, 2 * D), nn.Linear(2 * D, D), nn.Linear(D, D)
        self.reads = reads

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        y = self.norm(self.down(torch.relu(self.up(self.words(x)))))
        logits = y @ self.words.weight.T
        return (logits, self.other(y)) if self.reads else logits


def tied_head() -> tuple[nn.Module, Tensor]:
    return TiedHead(), torch.randint(V, (4, S))


def plan(outputs: str = "0: shard(-1) -> replicate", *, sums: bool = True) -> list[str]:
    return [line.format(outputs=outputs) for line in PLAN if sums or not line.startswith("norm")]


CASES = [
    SoundnessCase("a tied head in the root's code", TiedHead, "proved", plan(), tokens),
    SoundnessCase("a tied head whose input's gradient nobody sums", TiedHead, "refuted", plan(sums=False), tokens),
    SoundnessCase("a tied head, and a full layer beside it", lambda: TiedHead(reads=True), "refuted", plan(), tokens),
    SoundnessCase("an output that is declared full in vain", lambda: nn.Sequential(nn.Embedding(V, D), nn.LayerNorm(D)),
         "proved", ["1 outputs(0: replicate -> replicate)"], lambda: {"input": tokens()["x"]}),
]  # fmt: skip
