"""Models whose code reads what applying a plan changes in modules, and what they compute on two ranks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import pydantic
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.nn import functional

import planc

WIDTH, ROWS, BATCH, LENGTH = 8, 16, 4, 6
Build = Callable[[], nn.Module]


@dataclass(frozen=True)
class FrozenConfig:
    heads: int = 4
    width: int = WIDTH

    def __post_init__(self) -> None:
        assert self.heads == 4


@dataclass(frozen=True)
class Outer:
    inner: FrozenConfig = FrozenConfig()


@dataclass
class Settings:
    heads: int = 4


class Pydantic(pydantic.BaseModel):
    heads: int = 4


class NamedSizes(NamedTuple):
    heads: int
    head_dim: int


class Attention(nn.Module):
    """Heads that a softmax keeps apart; `heads` reads how many there are."""

    def __init__(self, sizes: Any, heads: Callable[[Any], int]) -> None:
        super().__init__()
        self.q, self.o = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.sizes, self.heads = sizes, heads

    def forward(self, x: Tensor) -> Tensor:
        y = self.q(x).view(*x.shape[:2], self.heads(self), -1)
        return self.o(y.softmax(-1).flatten(2))


class Model(nn.Module):
    """Modules by name, and a forward pass that a function defines."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor], **modules: Any) -> None:
        super().__init__()
        self.function = function
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def attention(sizes: Any, heads: Callable[[Any], int]) -> Build:
    return lambda: Model(lambda self, x: self.attn(x), attn=Attention(sizes, heads))


def split_heads(name: str) -> tuple[str, ...]:
    return (f"attn  attributes({name}: 4 // tp)", "attn.q  colwise", "attn.o  rowwise")


# ---- attributes ------------------------------------------------------------------------


def reads_heads_of_child(self: Any, x: Tensor) -> Tensor:
    y = self.attn.q(x).view(*x.shape[:2], self.attn.sizes["heads"], -1)
    return self.attn.o(y.softmax(-1).flatten(2))


def shares_config(self: Any, x: Tensor) -> Tensor:
    return self.attn(x) * self.scale.sizes.heads


def shared(make: Callable[[], Any]) -> Build:
    def build() -> nn.Module:
        config = make()
        model = Model(shares_config, attn=Attention(config, lambda self: self.sizes.heads), scale=nn.Module())
        model.scale.sizes = config
        return model

    return build


def changes_sizes(self: Any, x: Tensor) -> Tensor:
    y: Tensor = self.attn(x)
    heads, self.attn.sizes.heads = self.attn.sizes.heads, 2
    self.attn.sizes.heads = heads
    return y


# ---- sizes of parameters ---------------------------------------------------------------


class Heads(nn.Module):
    """Heads that a softmax keeps apart; `view` says how the code finds their shape."""

    def __init__(self, view: Callable[..., Any], *, bias: bool = True) -> None:
        super().__init__()
        self.q, self.o = nn.Linear(WIDTH, WIDTH, bias), nn.Linear(WIDTH, WIDTH, bias)
        self.view, self.num_heads, self.head_dim = view, 4, 2

    def forward(self, x: Tensor, *sizes: int) -> Tensor:
        y = self.q(x).view(*x.shape[:2], *self.view(self, *sizes))
        return self.o(y.softmax(-1).flatten(2))


def width_from_weight(self: Any) -> tuple[int, int]:
    return -1, self.q.weight.shape[0] // self.num_heads


def heads_from_weight(self: Any) -> tuple[int, int]:
    return self.q.weight.shape[0] // self.head_dim, self.head_dim


def heads_from_numel(self: Any) -> tuple[int, int]:
    return self.q.weight.numel() // self.q.in_features // self.head_dim, self.head_dim


def width_from_stride(self: Any) -> tuple[int, int]:
    return -1, self.o.weight.stride(0) // self.num_heads


def heads_from_caller(self: Any, rows: int) -> tuple[int, int]:
    return rows // self.head_dim, self.head_dim


def width_from_caller(self: Any, rows: int) -> tuple[int, int]:
    return -1, rows // self.num_heads


class Reporting(nn.Linear):
    """Returns the number of its rows too."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x), self.weight.shape[0]


def reported_rows(self: Any, x: Tensor) -> Tensor:
    y, rows = self.up(x)
    return self.down(y.view(*x.shape[:2], rows).relu())


def logits(self: Any, x: Tensor) -> Tensor:
    return self.head(self.attn(x)).view(-1, self.head.weight.shape[0])


def with_weights_of_attention(self: Any, x: Tensor) -> Tensor:
    y = functional.linear(x, self.attn.q.weight)
    return functional.linear(y, self.attn.o.weight) + self.attn(x)


def heads(
    view: Callable[..., Any], function: Callable[[Any, Tensor], Tensor] | None = None, **options: bool
) -> Build:
    run = function or (lambda self, x: self.attn(x))
    return lambda: Model(run, attn=Heads(view, **options), head=nn.Linear(WIDTH, 12, bias=False))


def hooked() -> nn.Module:
    layer = nn.Linear(WIDTH, WIDTH)
    layer.register_forward_hook(lambda module, _, y: y * module.weight.square().sum(1))
    return Model(lambda self, x: self.down(self.up(x).relu()), up=layer, down=nn.Linear(WIDTH, WIDTH))


HEADS = ("attn.q  colwise", "attn.o  rowwise")
SET_HEADS = ("attn  attributes(num_heads: 4 // tp)", *HEADS)
LOGITS = ("head  colwise", "root  outputs(0: shard(-1) -> replicate)")


# ---- tables ----------------------------------------------------------------------------


class Flat(nn.Embedding):
    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids).flatten(0, 1)


class Scaled(nn.Embedding):
    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids) * 2.0


class Spread(nn.Embedding):
    """Scales by a number that each rank has as its own."""

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids) * (self.padding_idx + 1)


class Literal(nn.Embedding):
    def forward(self, ids: Tensor) -> Tensor:
        return functional.embedding(ids, self.weight, 3)


class Embedding(nn.Module):
    """Of the name of torch's class, and nothing else of it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(ROWS, WIDTH))

    def forward(self, ids: Tensor) -> Tensor:
        return functional.embedding(ids, self.weight)


class SeparateBias(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight) + self.bias


def plain_lookup(self: Any, ids: Tensor) -> Tensor:
    return self.down(self.up(self.emb(ids)).relu())


def masks_padding(self: Any, ids: Tensor) -> Tensor:
    return plain_lookup(self, ids).masked_fill((ids == self.emb.padding_idx).unsqueeze(-1), 0.0)


def lookup(function: Callable[[Any, Tensor], Tensor], table: Build, down: Build | None = None) -> Build:
    return lambda: Model(
        function,
        emb=table(),
        up=nn.Linear(WIDTH, WIDTH),
        down=nn.Linear(WIDTH, WIDTH) if down is None else down(),
    )


def parameter_tables() -> nn.Module:
    """Two products with parameters of a list, and a gain of a dictionary between."""
    rows = [
        nn.Parameter(torch.randn(2 * WIDTH, WIDTH) * 0.2),
        nn.Parameter(torch.randn(WIDTH, 2 * WIDTH) * 0.2),
    ]
    gains = nn.ParameterDict({"inner": nn.Parameter(torch.rand(2 * WIDTH))})

    def forward(self: Any, x: Tensor) -> Tensor:
        inner = functional.linear(x, self.ws[0]).relu() * self.gains["inner"]
        return functional.linear(inner, self.ws[1])

    return Model(forward, ws=nn.ParameterList(rows), gains=gains)


TABLE = ("emb  rowwise", "up  colwise", "down  rowwise")
Case = tuple[Build, Sequence[str], str]
CASES: dict[str, Case] = {
    "heads in a list": (attention([4, 2], lambda self: self.sizes[0]), split_heads("sizes.0"), "proved"),
    "heads in a tuple": (attention((4, 2), lambda self: self.sizes[0]), split_heads("sizes.0"), "proved"),
    "heads in a dictionary": (attention({"heads": 4}, lambda self: self.sizes["heads"]), split_heads("sizes.heads"), "proved"),
    "heads in a named tuple": (attention(NamedSizes(4, 2), lambda self: self.sizes.heads), split_heads("sizes.heads"), "proved"),
    "heads in a frozen record": (attention(FrozenConfig(), lambda self: self.sizes.heads), split_heads("sizes.heads"), "proved"),
    "heads in a record of a record": (
        attention(Outer(), lambda self: self.sizes.inner.heads), split_heads("sizes.inner.heads"), "proved"),
    "heads in a dataclass": (
        attention(SimpleNamespace(inner=Settings()), lambda self: self.sizes.inner.heads), split_heads("sizes.inner.heads"), "proved"),
    "heads in a namespace": (attention(SimpleNamespace(heads=4), lambda self: self.sizes.heads), split_heads("sizes.heads"), "proved"),
    "heads in a namespace that two modules share": (
        shared(lambda: SimpleNamespace(heads=4)), split_heads("sizes.heads"), "proved"),
    "heads in a pydantic model": (attention(Pydantic(), lambda self: self.sizes.heads), split_heads("sizes.heads"), "proved"),
    "a namespace that the code changes": (
        lambda: Model(changes_sizes, attn=Attention(SimpleNamespace(heads=4), lambda self: self.sizes.heads)),
        split_heads("sizes.heads"), "unproved"),
    "heads in a list, without attributes": (attention([4, 2], lambda self: self.sizes[0]), split_heads("")[1:], "L708"),
    "a record that two modules share": (shared(FrozenConfig), split_heads("sizes.heads"), "proved"),
    "heads of a child": (
        lambda: Model(reads_heads_of_child, attn=Attention({"heads": 4}, lambda self: self.sizes["heads"])),
        split_heads("sizes.heads"), "proved"),
    "heads of a child, without attributes": (
        lambda: Model(reads_heads_of_child, attn=Attention({"heads": 4}, lambda self: self.sizes["heads"])),
        split_heads("")[1:], "L708"),
    "the width of heads from a weight": (heads(width_from_weight), HEADS, "proved"),
    "the width of heads from a weight, heads divided": (heads(width_from_weight), SET_HEADS, "proved"),
    "heads from a weight": (heads(heads_from_weight), HEADS, "proved"),
    "heads from the entries of a weight": (heads(heads_from_numel), HEADS, "proved"),
    "the width of heads from a stride": (heads(width_from_stride), HEADS, "proved"),
    "heads from a weight, as an argument": (
        heads(heads_from_caller, lambda self, x: self.attn(x, self.attn.q.weight.shape[0])), HEADS, "proved"),
    "the width of heads from a weight, as an argument": (
        heads(width_from_caller, lambda self, x: self.attn(x, self.attn.q.weight.shape[0])), HEADS, "proved"),
    "a width from one weight, logits from another": (heads(width_from_weight, logits), (*HEADS, *LOGITS), "proved"),
    "heads from one weight, logits from another": (heads(heads_from_weight, logits), (*HEADS, *LOGITS), "proved"),
    "a size in a mean": (
        heads(width_from_weight, lambda self, x: self.attn(x) / self.attn.q.weight.shape[0]), HEADS, "proved"),
    "a module that reports its rows": (
        lambda: Model(reported_rows, up=Reporting(WIDTH, WIDTH), down=nn.Linear(WIDTH, WIDTH)), TABLE[1:], "proved"),
    "a width while other code computes with the weight": (
        heads(width_from_weight, with_weights_of_attention, bias=False),
        ("attn.q  colwise", "attn.o  rowwise -> partial",
         "root  inputs(0: replicate -> replicate) outputs(0: partial -> replicate)"), "proved"),
    "a hook that computes with a weight": (hooked, TABLE[1:], "proved"),
    "a list and a dictionary of parameters": (
        parameter_tables, ("root  inputs(0: replicate -> replicate) outputs(0: partial -> replicate)",
                           "ws  params(0: shard(0), 1: shard(1))", "gains  params(inner: shard(0))"), "proved"),
    "a padding row": (lookup(plain_lookup, lambda: nn.Embedding(ROWS, WIDTH, padding_idx=11)), TABLE, "proved"),
    "a padding row that other code reads": (
        lookup(masks_padding, lambda: nn.Embedding(ROWS, WIDTH, padding_idx=11)), TABLE, "proved"),
    "a padding row of a table that scales": (
        lookup(masks_padding, lambda: Scaled(ROWS, WIDTH, padding_idx=11)), TABLE, "proved"),
    "a padding row that its table computes with": (
        lookup(plain_lookup, lambda: Spread(ROWS, WIDTH, padding_idx=11)), TABLE, "L707"),
    "a padding row that the code spells out": (lookup(plain_lookup, lambda: Literal(ROWS, WIDTH)), TABLE, "unproved"),
    "a table that flattens its rows": (
        lookup(lambda self, ids: plain_lookup(self, ids).unflatten(0, (BATCH, LENGTH)), lambda: Flat(ROWS, WIDTH)), TABLE, "proved"),
    "a table of another class": (lookup(plain_lookup, Embedding), TABLE, "proved"),
    "a table with sparse gradients": (
        lookup(plain_lookup, lambda: nn.Embedding(ROWS, WIDTH, sparse=True)), TABLE, "unproved"),
    "a bias that the code adds by itself": (
        lookup(plain_lookup, lambda: nn.Embedding(ROWS, WIDTH), lambda: SeparateBias(WIDTH, WIDTH)), TABLE, "proved"),
}  # fmt: skip


def plan_of(rules: Sequence[str]) -> str:
    """A plan that has these rules."""
    return "plan state\nmesh tp\ntensor tp {\n" + "".join(f"    {line}\n" for line in rules) + "}\n"


def example_input(name: str, seed: int = 0) -> Tensor:
    """Ids for models with a table, features for others."""
    generator = torch.Generator().manual_seed(seed)
    if "emb  rowwise" in CASES[name][1]:
        ids = torch.randint(ROWS, (BATCH, LENGTH), generator=generator)
        ids[0, :3] = torch.tensor([3, 11, 0])
        return ids
    return torch.randn(BATCH, LENGTH, WIDTH, generator=generator)


def worst_errors(names: list[str]) -> dict[str, float]:
    """How far the outputs and gradients of two steps are off, for each case."""
    return {name: _worst_error(name) for name in names}


def _worst_error(name: str) -> float:
    factory, rules, _ = CASES[name]
    torch.manual_seed(0)
    whole = factory()
    model = copy.deepcopy(whole)
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("tp",))
    planc.parallelize(model, planc.parse(plan_of(rules)), mesh, inputs=[example_input(name)])
    worst = 0.0
    for step in range(2):
        x = example_input(name, step)
        needed, found = whole(x), model(x)
        worst = max(worst, float((needed - found).abs().max()))
        for output in (needed, found):
            (output.square().mean() + output.mean()).backward()
        for a, b in zip(whole.parameters(), model.parameters(), strict=True):
            gradient = b.grad.full_tensor() if isinstance(b.grad, DTensor) else b.grad
            assert (a.grad is None) == (gradient is None)
            if a.grad is not None:
                worst = max(worst, float((a.grad - gradient).abs().max()))
            a.grad = b.grad = None
    return worst
