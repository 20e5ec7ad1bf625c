"""Models that begin with other weights on some ranks, under `planc.parallelize`."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

import planc
from tests.torch.apply.ranks.fsdp import BATCH, TENSOR, UNITS, Toy, toy_plan

SIZES = {"dp": 2, "tp": 2}


class _Scaled(Toy):
    """With a buffer, and a parameter that the plan does not name."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(3), persistent=False)
        self.last = nn.Parameter(torch.zeros(7))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return super().forward(ids) * self.scale.sum() + self.last


def _make_model(case: str) -> nn.Module:
    """What a rank begins with."""
    rank = dist.get_rank()
    torch.manual_seed(rank if case == "seeds" else 0)
    with torch.device("meta" if case == "meta" else "cpu"):
        model = _Scaled()
    if rank == 3:
        with torch.no_grad():
            if case == "buffer":
                model.scale[1] = -1
            elif case == "bits":
                model.last[2] = -0.0
        if case == "frozen":
            model.last.requires_grad = False
        elif case == "dtype":
            model.double()
    if case == "pairs":
        with torch.no_grad():
            model.last += rank // 2 + (rank == 3)
    return model


def _parallelize(model: nn.Module, sync: Any, axes: dict[str, int]) -> None:
    mesh = init_device_mesh("cpu", tuple(SIZES.values()), mesh_dim_names=tuple(SIZES))[tuple(axes)]
    text = toy_plan(axes, list(UNITS), "", "dp") if "dp" in axes else f"plan toy\nmesh tp\n{TENSOR}"
    planc.parallelize(
        model, planc.parse(text), mesh, inputs=[torch.zeros(BATCH, 3, dtype=torch.int64)], sync=sync
    )


def begin(case: str, sync: str | None) -> dict[str, Any]:
    """What is said, and how the model is then: as before, or of which values."""
    axes = {"tp": 2} if case == "pairs" else SIZES
    model = _make_model(case)
    before = copy.deepcopy(model)
    try:
        _parallelize(model, sync, axes)
    except planc.PlanError as bad:
        pairs = zip(before.named_parameters(), model.parameters(), strict=True)
        changed = [n for (n, a), b in pairs if isinstance(b, DTensor) or not torch.equal(a, b)]
        return {"reasons": [*bad.reasons, *(each.headline for each in bad.diagnostics)], "changed": changed}
    needed = _make_model("meta" if case == "meta" else "equal")
    got = dict(model.named_parameters()) | dict(model.named_buffers())
    expected = dict(needed.named_parameters()) | dict(needed.named_buffers())
    wrong = [] if case in ("meta", "pairs") else [
        name for name, tensor in got.items()
        if not torch.equal(tensor.full_tensor() if isinstance(tensor, DTensor) else tensor, expected[name])
    ]  # fmt: skip
    return {"reasons": [], "wrong": wrong}


def one_rank_fails() -> list[str]:
    """What each rank raises where the plan does not fit the model of one."""
    model: nn.Module = _make_model("equal")
    if dist.get_rank() == 2:
        model.blocks[1].up = nn.Identity()
    try:
        _parallelize(model, "check", SIZES)
    except (planc.PlanError, planc.ModelFault) as bad:
        return [str(isinstance(bad, planc.PlanError)), str(bad)]
    return ["nothing", ""]


def other_seed(rank: int, seed: int | None) -> str:
    """What is said where one rank materializes the model from another seed."""
    model = _make_model("meta")
    _parallelize(model, "check", SIZES)
    own = seed if dist.get_rank() == rank else 5
    try:
        planc.materialize(model, seed=own, build=_Scaled)
    except planc.WeightsError as bad:
        assert all(parameter.is_meta for parameter in model.parameters())
        return str(bad)
    return "nothing"
