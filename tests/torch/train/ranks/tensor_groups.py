"""What the ranks of a group share: random numbers, batches, weights."""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from planc.torch.train.batch_consistency import BatchConsistency
from planc.torch.train.sync_params import sync_params
from planc.torch.train.sync_rng import sync_rng
from tests.torch.train.ranks.partly_split import CollectiveRecorder, PartlySplitModel, equal_on_all_ranks

AXES = ("data_parallel", "tensor_parallel")


def rng_agrees() -> bool:
    """Whether each rank draws what the first of its tensor group would draw."""
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=AXES)
    _seed(dist.get_rank())
    sync_rng(mesh["tensor_parallel"].get_group())
    got = _sample_generators()
    _seed(dist.get_rank() // 2 * 2)
    return got == _sample_generators()


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def _sample_generators() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]  # noqa: NPY002


@dataclass
class Pair:
    ids: torch.Tensor
    names: set[str]


def _ids(number: int, change: int = 0) -> torch.Tensor:
    made = torch.arange(12).view(3, 4) + 100 * number
    made[2, 3] += change
    return made


def _nested(data: int, change: int) -> Any:
    return {"x": [torch.ones(3), (_ids(data, change), "text", object())], "n": 3}


def _batch(name: str, data: int, tensor: int) -> Any:
    """What a rank sees in a case."""
    ids = _ids(data)
    cases: dict[str, Any] = {
        "right": _nested(data, 0),
        "one tensor": ids,
        "sets and objects": Pair(ids, {"a", "b", "c", "d"}),
        "another entry": _nested(data, tensor),
        "another entry in one group": Pair(_ids(data, tensor * data), set()),
        "another shape": OrderedDict(ids=ids[: 3 - tensor]),
        "another type": (ids.to([torch.int64, torch.int32][tensor]), 1),
        "another structure": [ids] * (1 + tensor),
        "no tensor": [ids, None][tensor],
        "another key": {"ab"[tensor]: ids},
        "another text": (ids, "ab"[tensor]),
        "a nested tensor": torch.nested.nested_tensor([torch.ones(2), torch.ones(3) * (1 + data + tensor)]),
        "an array": np.arange(5000) + 10000 * data + (np.arange(5000) == 2500) * tensor,
        "the same everywhere": _nested(0, 0),
        "nothing in it": {"x": None},
    }
    return cases[name]


def check_batches(name: str) -> dict[str, Any]:
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=AXES)
    number, tensor = mesh.get_coordinate() or (0, 0)
    with CollectiveRecorder() as sent:
        verdict = BatchConsistency(mesh).check(_batch(name, number, tensor))
    return {**verdict._asdict(), "sent": len(sent.names), "same": equal_on_all_ranks(verdict)}


def invalid_mesh() -> str:
    try:
        BatchConsistency(init_device_mesh("cpu", (4,)))
    except ValueError as bad:
        return str(bad)
    return "nothing"


class _More(PartlySplitModel):
    """With buffers, odd types, what has no numbers, and what is split."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.rand(5) < 0.5)
        self.register_buffer("scale", torch.rand(3, dtype=torch.float64).t(), persistent=False)
        self.short = nn.Parameter(torch.rand(3, 2).half().t())
        self.later = nn.Parameter(torch.empty(2, device="meta"))
        mesh = init_device_mesh("cpu", (4,))
        self.split = nn.Parameter(distribute_tensor(torch.ones(4), mesh, [Shard(0)]))


def sync_models() -> dict[str, Any]:
    """Models of other seeds are made the first one's; then they are equal already."""
    torch.manual_seed(dist.get_rank())
    model = _More()
    names = sync_params(model)
    torch.manual_seed(0)
    needed = _More()
    pairs = zip(model.state_dict().items(), needed.state_dict().values(), strict=True)
    wrong = [n for (n, a), b in pairs if n not in ("later", "split") and not torch.equal(a, b)]
    wrong += [] if torch.equal(model.scale, needed.scale) else ["scale"]
    with CollectiveRecorder() as sent:
        resynced = sync_params(model)
    kept = [name for name, p in needed.named_parameters() if name not in names]
    with torch.no_grad():
        model.head.bias[0] += dist.get_rank() == 2
    return {
        "wrong": wrong,
        "resynced": resynced,
        "sent": len(sent.names),
        "kept": kept,
        "one": sync_params(model),
    }


def mismatched_models() -> str:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3 if dist.get_rank() < 3 else 4))
    try:
        sync_params(model)
    except ValueError as bad:
        return str(bad)
    return "nothing"
