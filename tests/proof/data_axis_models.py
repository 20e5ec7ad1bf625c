"""Models on an axis that splits the batch, each with the verdict that the numbers of half batches demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

BATCH, LENGTH, WIDTH, WORDS = 4, 6, 16, 32


@dataclass
class BatchCase:
    """A model and its verdict under `fsdp dp { root }`."""

    name: str
    module: Callable[[], nn.Module]
    verdict: str = "proved"
    inputs: Callable[[], dict[str, Tensor]] = lambda: {"x": torch.randn(BATCH, LENGTH, WIDTH)}


class Attention(nn.Module):
    """Self-attention of torch's module, by default with the sequence before the batch."""

    def __init__(self, *, batch_first: bool = False, **settings: object) -> None:
        super().__init__()
        self.before = nn.Linear(WIDTH, WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=batch_first, **settings)
        self.after = nn.Linear(WIDTH, WIDTH)
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.before(x)
        x = x if self.batch_first else x.transpose(0, 1)
        y, weights = self.attention(x, x, x)
        return self.after(y if self.batch_first else y.transpose(0, 1)), weights


class CrossAttention(nn.Module):
    """Keys of another width, some of them masked, without the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = nn.Linear(WIDTH, 12)
        self.attention = nn.MultiheadAttention(WIDTH, 4, kdim=12, vdim=12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        keys = self.keys(x).transpose(0, 1)
        y, _ = self.attention(x.transpose(0, 1), keys, keys, key_padding_mask=mask, need_weights=False)
        return y.transpose(0, 1)


class BatchAttention(Attention):
    """Attention from sample to sample: the batch is taken for the sequence."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, weights = self.attention(x, x, x)
        return self.after(y), weights


class Translator(nn.Module):
    """torch's encoder and decoder."""

    def __init__(self, *, batch_first: bool, norm_first: bool) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.inner = nn.Transformer(
            WIDTH, 4, 2, 2, 32, dropout=0.0, batch_first=batch_first, norm_first=norm_first
        )
        self.head = nn.Linear(WIDTH, WORDS)
        self.batch_first = batch_first

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1])
        pair = self.words(source), self.words(target)
        if not self.batch_first:
            pair = pair[0].transpose(0, 1), pair[1].transpose(0, 1)
        y = self.inner(*pair, tgt_mask=mask, tgt_is_causal=True)
        return self.head(y if self.batch_first else y.transpose(0, 1))


def sentences() -> dict[str, Tensor]:
    return {
        "source": torch.randint(WORDS, (BATCH, LENGTH)),
        "target": torch.randint(WORDS, (BATCH, LENGTH - 1)),
    }


def masked() -> dict[str, Tensor]:
    mask = torch.zeros(BATCH, LENGTH, dtype=torch.bool)
    mask[:, -2:] = True
    return {"x": torch.randn(BATCH, LENGTH, WIDTH), "mask": mask}


ATTENTION = [
    BatchCase("attention, batch first", lambda: Attention(batch_first=True)),
    BatchCase("attention, sequence first", Attention),
    BatchCase("attention, biases", lambda: Attention(add_bias_kv=True, add_zero_attn=True)),
    BatchCase("attention, no biases", lambda: Attention(bias=False)),
    BatchCase("cross attention", CrossAttention, inputs=masked),
    BatchCase("attention over the batch", BatchAttention, "refuted"),
    BatchCase("transformer", lambda: Translator(batch_first=True, norm_first=False), inputs=sentences),
    BatchCase(
        "transformer, sequence first",
        lambda: Translator(batch_first=False, norm_first=True),
        inputs=sentences,
    ),
]


class DropPath(nn.Module):
    """Leaves out what it gets, by a draw for each sample; `mode` says how the code draws."""

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.inner, self.mode, self.keep = nn.Linear(WIDTH, WIDTH), mode, 0.9

    def forward(self, x: Tensor) -> Tensor:
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        if self.mode == "new_empty":
            kept = x.new_empty(shape).bernoulli_(self.keep).div_(self.keep)
        elif self.mode == "floor":
            kept = (self.keep + torch.rand(shape, dtype=x.dtype, device=x.device)).floor_()
        elif self.mode == "batch":
            kept = torch.empty([1] * x.ndim, dtype=x.dtype).bernoulli_(self.keep)
        elif self.mode == "noise":
            kept = 1 + 0.1 * torch.randn_like(x)
        else:
            return x + self.inner(x)[torch.randperm(x.shape[0])]
        return x + self.inner(x) * kept


class MaskedTokens(nn.Module):
    """Keeps some tokens of each sample, as masked autoencoders do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        kept = torch.rand(batch, length, device=x.device).argsort(dim=1)[:, :3]
        return self.inner(torch.gather(x, 1, kept.unsqueeze(-1).repeat(1, 1, width)))


RANDOM = [
    BatchCase("a draw for each sample", lambda: DropPath("new_empty")),
    BatchCase("a draw for each sample, rounded", lambda: DropPath("floor")),
    BatchCase("noise", lambda: DropPath("noise")),
    BatchCase("random tokens", MaskedTokens),
    BatchCase("a draw for the batch", lambda: DropPath("batch"), "unproved"),
    BatchCase("samples in random order", lambda: DropPath("permuted"), "unproved"),
]


class Recurrent(nn.Module):
    """A recurrent layer that returns its states too."""

    def __init__(self, kind: type[nn.RNNBase], *, batch_first: bool = True, **settings: object) -> None:
        super().__init__()
        self.inner = kind(WIDTH, WIDTH, batch_first=batch_first, **settings)
        self.head = nn.Linear(WIDTH * (2 if self.inner.bidirectional else 1), WIDTH)
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, states = self.inner(x if self.batch_first else x.transpose(0, 1))
        return self.head(y if self.batch_first else y.transpose(0, 1)), states


class Steps(nn.Module):
    """A cell, called for each step."""

    def __init__(self, kind: type[nn.RNNCellBase]) -> None:
        super().__init__()
        self.cell = kind(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(x.shape[0], WIDTH)
        states = (state, state) if isinstance(self.cell, nn.LSTMCell) else state
        out = []
        for step in range(x.shape[1]):
            states = self.cell(x[:, step], states)
            out.append(states[0] if isinstance(states, tuple) else states)
        return torch.stack(out, 1)


class StepsOverTheBatch(Recurrent):
    """A recurrent layer that takes the batch for the sequence."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, states = self.inner(x)
        return self.head(y), states


RECURRENT = [
    *(BatchCase(kind.__name__, lambda kind=kind: Recurrent(kind)) for kind in (nn.LSTM, nn.GRU, nn.RNN)),
    *(
        BatchCase(kind.__name__, lambda kind=kind: Steps(kind))
        for kind in (nn.LSTMCell, nn.GRUCell, nn.RNNCell)
    ),
    BatchCase("LSTM, sequence first", lambda: Recurrent(nn.LSTM, batch_first=False)),
    BatchCase("deep GRU", lambda: Recurrent(nn.GRU, num_layers=2, bidirectional=True)),
    BatchCase("LSTM over the batch", lambda: StepsOverTheBatch(nn.LSTM, batch_first=False), "refuted"),
]


class Reparametrized(nn.Module):
    """A layer whose weight is computed from other parameters."""

    def __init__(self, parametrize: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__()
        self.up, self.down = parametrize(nn.Linear(WIDTH, 2 * WIDTH)), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.up(x).relu())


PARAMETRIZED = [
    BatchCase("weight norm", lambda: Reparametrized(parametrizations.weight_norm)),
    BatchCase(
        "weight norm of columns", lambda: Reparametrized(lambda m: parametrizations.weight_norm(m, dim=1))
    ),
    BatchCase(
        "weight norm of all entries",
        lambda: Reparametrized(lambda m: parametrizations.weight_norm(m, dim=None)),
    ),
    BatchCase("spectral norm", lambda: Reparametrized(parametrizations.spectral_norm)),
    BatchCase("spectral norm by hooks", lambda: Reparametrized(nn.utils.spectral_norm)),
]
