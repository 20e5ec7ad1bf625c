"""Small plain modules: what the pages of laws and their cases are checked against.

Each factory gives a model and what it is called with. `python -m tests.graph.captured` writes
their graphs beside this file.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

BATCH, LENGTH, WIDTH, HEADS, WORDS, CLASSES = 4, 8, 16, 4, 64, 8
HEAD = WIDTH // HEADS


class Mlp(nn.Module):
    """Up, and down again."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.down(nn.functional.gelu(self.up(x)))
        return hidden


class Attention(nn.Module):
    """Heads that the code counts by -1, so that a rank may have some of them."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.o = nn.Linear(WIDTH, WIDTH, bias=False)

    def heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], -1, HEAD).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self.heads(taken(x)) for taken in (self.q, self.k, self.v))
        given: Tensor = self.o(joined(scaled_dot_product_attention(q, k, v, is_causal=True)))
        return given


def joined(heads: Tensor) -> Tensor:
    """The heads beside each other again."""
    return heads.transpose(1, 2).flatten(2)


class NormedAttention(Attention):
    """With norms on the heads of q and k, as Qwen 3."""

    def __init__(self) -> None:
        super().__init__()
        self.q_norm, self.k_norm = nn.LayerNorm(HEAD), nn.LayerNorm(HEAD)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self.heads(taken(x)) for taken in (self.q, self.k, self.v))
        given: Tensor = self.o(joined(scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v)))
        return given


class CountedAttention(Attention):
    """The number of heads is written out."""

    def __init__(self) -> None:
        super().__init__()
        self.n_heads = HEADS

    def heads(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.n_heads, HEAD).transpose(1, 2)


class FusedAttention(nn.Module):
    """q, k and v in one projection."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.o = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (-1, HEAD)).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        given: Tensor = self.o(joined(scaled_dot_product_attention(q, k, v)))
        return given


class Block(nn.Module):
    """Norm, attention, norm, MLP, each beside its own way past it."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(WIDTH), attention
        self.norm2, self.mlp = nn.LayerNorm(WIDTH), Mlp()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        after: Tensor = x + self.mlp(self.norm2(x))
        return after


class Lm(nn.Module):
    """A language model of two blocks."""

    def __init__(self, attention: type[nn.Module]) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, WIDTH)
        self.blocks = nn.ModuleList(Block(attention()) for _ in range(2))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WORDS, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x))
        return logits


class Classifier(nn.Module):
    """An embedding, an MLP, one vector for the sequence, classes."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Embedding(WORDS, WIDTH), nn.LayerNorm(WIDTH)
        self.mlp, self.head = Mlp(), nn.Linear(WIDTH, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        classes: Tensor = self.head(self.pooled(x + self.mlp(self.norm(x))))
        return classes

    def pooled(self, x: Tensor) -> Tensor:
        return x.sum(1) / x.shape[1]


class Centred(Classifier):
    """Takes the mean of the batch off."""

    def pooled(self, x: Tensor) -> Tensor:
        pooled = x.mean(1)
        return pooled - pooled.mean(0)


class Pairs(Classifier):
    """Compares every entry of the batch with every other one, as contrastive losses do."""

    def pooled(self, x: Tensor) -> Tensor:
        pooled = x.mean(1)
        return (pooled @ pooled.T).softmax(-1) @ pooled


class Fourier(Classifier):
    """Mixes the sequence by an operation that planc has no rule for."""

    def pooled(self, x: Tensor) -> Tensor:
        return torch.fft.fft(x, dim=1).real.amax(1)


class Scaled(Classifier):
    """Scales by the width that the code reads off the tensor."""

    def pooled(self, x: Tensor) -> Tensor:
        return x.amax(1) * x.shape[-1] ** -0.5


class Batches(nn.Module):
    """Statistics of the batch between two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.norm, self.down = nn.Linear(WIDTH, 64), nn.BatchNorm1d(64), nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        classes: Tensor = self.down(torch.relu(self.norm(self.up(x))))
        return classes


class Pair(nn.Module):
    """What it does with two values."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.a(x)) + torch.tanh(self.b(y))


class Doubled(nn.Module):
    """Hands one value to a module twice."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()

    def forward(self, x: Tensor) -> Tensor:
        both: Tensor = self.pair(x, x)
        return both


class WeightRead(nn.Module):
    """The logits are products with the weight of the embedding, which the model reads."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.block = nn.Embedding(WORDS, WIDTH), Mlp()

    def forward(self, ids: Tensor) -> Tensor:
        return nn.functional.linear(self.block(self.embed(ids)), self.embed.weight)


class Routed(nn.Module):
    """A block that leaves its auxiliary loss in an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.mlp, self.router = Mlp(), nn.Linear(WIDTH, HEADS)
        self.loss: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.mlp(x)
        self.loss = self.router(hidden).square().mean((1, 2))
        return hidden


class Auxiliary(nn.Module):
    """The model returns the auxiliary loss of its block beside its result."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.head = Routed(), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.head(self.block(x)), self.block.loss


class ScalesInput(nn.Module):
    """A block that scales its argument in place."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mlp = nn.LayerNorm(WIDTH), Mlp()

    def forward(self, x: Tensor) -> Tensor:
        x *= 0.5
        after: Tensor = x + self.mlp(self.norm(x))
        return after


class InPlace(nn.Module):
    """A layer, and a block that changes its result in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block = nn.Linear(WIDTH, WIDTH), ScalesInput()

    def forward(self, x: Tensor) -> Tensor:
        after: Tensor = self.block(self.stem(x))
        return after


Made = tuple[nn.Module, dict[str, Tensor]]


def _ids(model: nn.Module) -> Made:
    return model, {"ids": torch.zeros(BATCH, LENGTH, dtype=torch.int64)}


def lm() -> Made:
    return _ids(Lm(Attention))


def normed() -> Made:
    return _ids(Lm(NormedAttention))


def counted() -> Made:
    return _ids(Lm(CountedAttention))


def fused() -> Made:
    return _ids(Lm(FusedAttention))


def pooled() -> Made:
    return _ids(Classifier())


def centred() -> Made:
    return _ids(Centred())


def pairs() -> Made:
    return _ids(Pairs())


def fourier() -> Made:
    return _ids(Fourier())


def scaled() -> Made:
    return _ids(Scaled())


def batches() -> Made:
    return Batches(), {"x": torch.zeros(BATCH, WIDTH)}


def mlp() -> Made:
    return Mlp(), {"x": torch.zeros(BATCH, LENGTH, WIDTH)}


def doubled() -> Made:
    return Doubled(), {"x": torch.zeros(BATCH, LENGTH, WIDTH)}


def weight_read() -> Made:
    return _ids(WeightRead())


def auxiliary() -> Made:
    return Auxiliary(), {"x": torch.zeros(BATCH, LENGTH, WIDTH)}


def in_place() -> Made:
    return InPlace(), {"x": torch.zeros(BATCH, LENGTH, WIDTH)}
