"""Boundaries beside hooks of the user's own, and tensors that are handed twice, against the whole model."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh

import planc
from planc.forecast.collectives import forecast_collectives
from planc.torch.apply.module_graph import capture_module
from tests.torch.apply.ranks.collectives_vs_forecast import CollectiveCounter, CollectiveRecord

ROWS, WIDTH = 4, 8


class HookedModel(nn.Module):
    """A table, two layers with a bias, and a module that is handed tensors."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.table = nn.Embedding(16, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.inner = inner

    def forward(self, ids: Tensor) -> Any:
        x = self.down(self.up(self.table(ids)))
        return self.inner(x)


class SoftmaxLast(nn.Module):
    """What is right only of whole rows, or of whole columns."""

    def forward(self, x: Tensor) -> Tensor:
        return x.softmax(-1)


class AliasedArguments(nn.Module):
    """Code that asks which object a tensor is, and hands one back twice."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        y = self.own(q) * (2 if q is k else 3)
        return y, y


class PassesTensorTwice(nn.Module):
    """Hands a tensor twice."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs = AliasedArguments()

    def forward(self, x: Tensor) -> Tensor:
        one, other = self.pairs(x, k=x)
        return one * (other if one is other else 1)


def _prehook_reads_size(model: HookedModel) -> None:
    model.inner.register_forward_pre_hook(lambda _, a: (a[0] / a[0].shape[-1],))


def _prehook_softmax(model: HookedModel) -> None:
    # Right of rows that the ranks share, and wrong of columns that they do.
    model.inner.register_forward_pre_hook(lambda _, a: (a[0].softmax(-1),))


def _hook_cumsum(model: HookedModel) -> None:
    model.inner.register_forward_hook(lambda _, __, r: r.cumsum(-1))


def _prehook_remaps_ids(model: HookedModel) -> None:
    model.table.register_forward_pre_hook(lambda _, a: ((a[0] * 3 + 1) % 16,))


def _hook_doubles_rows(model: HookedModel) -> None:
    model.table.register_forward_hook(lambda _, __, r: r * 2)


def _hook_doubles_bias(model: HookedModel) -> None:
    model.down.register_forward_hook(lambda _, __, r: r * 2)


BOTH = "up colwise", "down rowwise"
COLUMNS = "inner inputs(0: replicate -> shard(1)) outputs(0: shard(1) -> replicate)"
ROWS_SHARED = "inner inputs(0: replicate -> shard(0)) outputs(0: shard(0) -> replicate)"
TWICE = (
    "inner.pairs inputs(0: shard(0) -> replicate, k: shard(0) -> replicate) "
    "outputs(0: replicate -> shard(0), 1: replicate -> shard(0))"
)
"""Outer slices, inner whole: a collective for each tensor, forward and backward."""
CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[HookedModel], None], tuple[str, ...]]] = {
    "a pre-hook that needs columns, rows shared": (SoftmaxLast, _prehook_softmax, (ROWS_SHARED,)),
    "a pre-hook that needs columns, columns shared": (SoftmaxLast, _prehook_softmax, (COLUMNS,)),
    "a pre-hook that reads a size, columns shared": (nn.ReLU, _prehook_reads_size, (COLUMNS,)),
    "a hook that needs columns, rows shared": (SoftmaxLast, _hook_cumsum, (ROWS_SHARED,)),
    "a hook that needs columns, columns shared": (nn.ReLU, _hook_cumsum, (COLUMNS,)),
    "a pre-hook at a table": (nn.ReLU, _prehook_remaps_ids, ("table rowwise",)),
    "a hook at a table": (nn.ReLU, _hook_doubles_rows, ("table rowwise",)),
    "a hook behind a bias that is added late": (nn.ReLU, _hook_doubles_bias, BOTH),
    "a tensor handed twice": (
        PassesTensorTwice,
        lambda _: None,
        (
            "inner inputs(0: replicate -> shard(0)) outputs(0: shard(0) -> replicate)",
            TWICE,
        ),
    ),
}


def hooked_difference(name: str) -> dict[str, Any]:
    """How far a split model is off, results and gradients; or why it is refused. And collectives that
    ran and were not predicted, or the other way round."""
    build, hook, rules = CASES[name]
    torch.manual_seed(0)
    whole = HookedModel(build())
    split = copy.deepcopy(whole)
    hook(whole)
    hook(split)
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("tp",))
    ids = torch.arange(ROWS * 3).reshape(ROWS, 3)[:, 0] % 16
    plan = planc.parse("mesh tp\ntensor tp {\n" + "".join(f"    {rule}\n" for rule in rules) + "}\n")
    graph = capture_module(split, [ids])
    try:
        planc.parallelize(split, plan, mesh, graph=graph)
    except planc.PlanError as refused:
        codes = [diagnostic.law.code for diagnostic in refused.diagnostics]
        return {"refused": codes, "reasons": list(refused.reasons)}
    ran: Counter[CollectiveRecord] = Counter()
    with CollectiveCounter(mesh, "forward", ran):
        found = split(ids)
    with CollectiveCounter(mesh, "backward", ran):
        found.square().sum().backward()
    needed = whole(ids)
    needed.square().sum().backward()
    off = [_relative_error(found, needed)]
    off += [_relative_error(p.grad.full_tensor(), q.grad)  # type: ignore[union-attr]
            for p, q in zip(split.parameters(), whole.parameters(), strict=True)]  # fmt: skip
    result = planc.check(plan, mesh={"tp": 2}, model=graph)
    assert result.binding is not None
    assert result.proof is not None
    forecast: Counter[CollectiveRecord] = Counter()
    for row in forecast_collectives(result.binding, result.proof):
        forecast[CollectiveRecord(row.direction, row.kind, row.axis, row.bytes)] += row.count
    return {
        "off": max(off),
        "ran": sum(ran.values()),
        "unforeseen": [*map(str, ran - forecast), *map(str, forecast - ran)],
    }


def _relative_error(found: Tensor, needed: Tensor) -> float:
    return float((found - needed).abs().max() / needed.abs().max().clamp(min=1e-9))


class AliasedGradients(nn.Module):
    """Parameters that are added at one place, of the shape of what they are added to: the backward pass hands each
    of them the same tensor. Two are of the model, two of a module that the ranks share the columns of."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Parameter(torch.randn(ROWS, WIDTH)), nn.Parameter(torch.randn(ROWS, WIDTH))
        self.up = nn.Linear(WIDTH, WIDTH, bias=False)
        self.down = nn.Linear(WIDTH, WIDTH, bias=False)
        self.weight, self.summed = nn.Parameter(torch.randn(WIDTH)), nn.Parameter(torch.randn(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x = (x + self.one + self.other) * self.weight
        x = self.down(self.up(x).relu())
        # A sum hands back one number in the place of many.
        return x.square().mean() + self.summed.sum()


def accumulated_gradients(passes: int) -> list[float]:
    """How far each gradient is off after some passes whose gradients are added up, and are then halved in place."""
    torch.manual_seed(0)
    whole = AliasedGradients()
    split = copy.deepcopy(whole)
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("tp",))
    data = torch.randn(passes, ROWS, WIDTH)
    plan = planc.parse("mesh tp\ntensor tp {\n    up colwise\n    down rowwise -> replicate\n}\n")
    planc.parallelize(split, plan, mesh, inputs=[data[0]])
    for model in (whole, split):
        for x in data:
            model(x).backward()
        for parameter in model.parameters():
            parameter.grad *= 0.5
    return [
        _relative_error(p.grad.full_tensor(), q.grad)  # type: ignore[union-attr]
        for p, q in zip(split.parameters(), whole.parameters(), strict=True)
    ]
