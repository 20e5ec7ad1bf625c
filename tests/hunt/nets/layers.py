"""Blocks whose inner part is a layer of torch's own: attention with packed projections, recurrent layers."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from tests.hunt.nets import net
from tests.hunt.nets.parts import MLP, Block, D, H, floats
from tests.hunt.nets.sizes import STREAM, Stream


class TorchAttention(nn.Module):
    """Self-attention by `nn.MultiheadAttention`."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.inner = nn.MultiheadAttention(
            D, H, batch_first=way != "first", add_bias_kv=way == "biased", bias=way != "bare"
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "first":
            x = x.transpose(0, 1)
        y: Tensor = self.inner(x, x, x, need_weights=self.way == "weights")[0]
        if self.way == "batch":
            return self.inner(x.transpose(0, 1), x.transpose(0, 1), y.transpose(0, 1))[0].transpose(0, 1)
        return y.transpose(0, 1) if self.way == "first" else y


class Recurrent(nn.Module):
    """A recurrent layer along the sequence, or along the batch."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        kind = {"gru": nn.GRU, "tanh": nn.RNN}.get(way, nn.LSTM)
        self.inner: Any = kind(
            D, D // 2 if way == "both" else D, batch_first=True, bidirectional=way == "both"
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.way == "batch":
            return self.inner(x.transpose(0, 1))[0].transpose(0, 1)  # type: ignore[no-any-return]
        y, state = self.inner(x)
        return y + state[0][-1][:, None] if self.way == "state" else y  # type: ignore[no-any-return]


def torch_attention(*, way: str = "plain") -> Any:
    return Stream(*(Block(TorchAttention(way), MLP()) for _ in range(2))), (floats(),)


def recurrent(*, way: str = "lstm") -> Any:
    return Stream(*(Block(Recurrent(way), MLP()) for _ in range(2))), (floats(),)


LAYER = (
    STREAM[: STREAM.index("    block.attention ")]
    + "    block.attention            inputs(0: stream -> replicate) outputs(0: replicate -> stream)\n"
    + STREAM[STREAM.index("    block.mlp ") :]
)
"""Every rank computes the layer in full."""
TABLE = (
    net.nets(__name__, "torch_attention", net.plan("torch_attention", LAYER), {
        way: {"way": way} for way in ("first", "biased", "bare", "weights", "batch")})
    | net.nets(__name__, "recurrent", net.plan("recurrent", LAYER), {
        way: {"way": way} for way in ("gru", "tanh", "both", "state", "batch")})
)  # fmt: skip


def __getattr__(name: str) -> Any:
    return net.factory(TABLE, {"torch_attention": torch_attention, "recurrent": recurrent}, name)
