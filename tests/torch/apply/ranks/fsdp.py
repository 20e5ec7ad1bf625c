"""What FSDP2 is told of a small model, and what it then computes."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

import planc

WIDTH, BATCH = 6, 8  # four ranks do not divide the width, and two no half of the inner one


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(3 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(torch.relu(self.up(self.norm(x))))


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Linear(WIDTH, 7)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


TENSOR = "tensor tp {\n    blocks.*.up colwise\n    blocks.*.down rowwise\n}\n"
UNITS = ("blocks.*", "root")


def parallelized_toy(
    sizes: dict[str, int], lines: list[str], more: str = "", axes: str = "dp"
) -> tuple[Toy, Toy, DeviceMesh]:
    """A model, a copy of it under a plan, and the mesh."""
    torch.manual_seed(0)
    whole = Toy()
    model = copy.deepcopy(whole)
    mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    text = toy_plan(sizes, lines, more, axes)
    planc.parallelize(model, planc.parse(text), mesh, inputs=[torch.zeros(BATCH, 3, dtype=torch.int64)])
    return whole, model, mesh


def toy_plan(sizes: dict[str, int], lines: list[str], more: str, axes: str) -> str:
    """A plan: the lines of its `fsdp`, and what else it says."""
    tensor = TENSOR if "tp" in sizes else ""
    return f"plan toy\nmesh {', '.join(sizes)}\n{tensor}fsdp {axes} {{\n" + "\n".join(lines) + f"\n}}\n{more}"


def fsdp_state(sizes: dict[str, int], lines: list[str], axes: str = "dp") -> dict[str, Any]:
    """What FSDP2 holds of every unit, in the order in which they were made."""
    _, model, _ = parallelized_toy(sizes, lines, axes=axes)
    if isinstance(model, FSDPModule):
        model._get_fsdp_state()._lazy_init()  # the root learns only here that it is one
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {}
    for name, module in model.named_modules():
        group = module._get_fsdp_state()._fsdp_param_group if isinstance(module, FSDPModule) else None
        if group is None:
            continue
        policy, after = group.fsdp_params[0].mp_policy, group.post_forward_mesh_info
        found[name] = {
            "parameters": [names[id(item.sharded_param)] for item in group.fsdp_params],
            "dtypes": [str(d).removeprefix("torch.") for d in (policy.param_dtype, policy.reduce_dtype, policy.output_dtype)],
            "reshard": after and after.shard_mesh_size,
            "offload": type(group.offload_policy).__name__,
            "mesh": [type(group.mesh_info).__name__, *group.mesh_info.mesh.mesh.shape],
            "dims": [item.fsdp_placement.dim for item in group.fsdp_params],
            "rest": sorted({str(item.sharded_param.device) for item in group.fsdp_params}),
        }  # fmt: skip
    return found


def compute_dtypes() -> dict[str, Any]:
    """The types of what is computed and kept under bf16 parameters."""
    _, model, _ = parallelized_toy({"dp": 4}, ["params: bf16, reduce: fp32, output: fp32", *UNITS])
    seen = {}
    model.blocks[0].up.register_forward_hook(lambda *a: seen.update(inside=str(a[2].dtype)))
    out = model(torch.zeros(BATCH // 4, 3, dtype=torch.int64))
    out.sum().backward()
    seen.update(
        result=str(out.dtype), kept=str(model.head.weight.dtype), gradient=str(model.head.weight.grad.dtype)
    )
    return seen


def train_steps(
    sizes: dict[str, int], lines: list[str], more: str = "", axes: str = "dp", micro: int = 1
) -> dict[str, Any]:
    """How far gradients, their norm, and weights after three clipped steps are off."""
    whole, model, mesh = parallelized_toy(sizes, lines, more, axes)
    part, parts = 0, 1
    for axis, size in sizes.items():
        if axis != "tp":
            part, parts = part * size + mesh[axis].get_local_rank(), parts * size
    optimizers = [torch.optim.AdamW(m.parameters(), lr=1e-2, eps=1e-3) for m in (whole, model)]
    worst = {"gradient": 0.0, "norm": 0.0, "weight": 0.0}
    for step in range(3):
        ids = torch.randint(0, 11, (BATCH, 3), generator=torch.Generator().manual_seed(step))
        for optimizer in optimizers:
            optimizer.zero_grad()
        whole(ids).square().mean().backward()
        own = ids.chunk(parts)[part].chunk(micro)
        for number, piece in enumerate(own):
            model.set_requires_gradient_sync(number == micro - 1)
            (model(piece).square().mean() / micro).backward()
        needed = dict(whole.named_parameters())
        for name, item in model.named_parameters():
            worst["gradient"] = max(worst["gradient"], _relative_error(item.grad, needed[name].grad))
        norms = [nn.utils.clip_grad_norm_(m.parameters(), 0.1) for m in (whole, model)]
        worst["norm"] = max(worst["norm"], _relative_error(norms[1], norms[0]))
        for optimizer in optimizers:
            optimizer.step()
    for name, item in model.named_parameters():
        worst["weight"] = max(worst["weight"], _relative_error(item.detach(), needed[name].detach()))
    return worst


def _relative_error(got: Tensor, needed: Tensor) -> float:
    got = got.full_tensor() if isinstance(got, DTensor) else got
    assert got.shape == needed.shape
    return float((got - needed).abs().max() / needed.abs().max())


def rejection_reasons(sizes: dict[str, int], lines: list[str], axes: str = "dp", more: str = "") -> list[str]:
    """Why a plan is not applied."""
    try:
        parallelized_toy(sizes, lines, more, axes)
    except planc.PlanError as raised:
        return [*raised.reasons, *(d.headline for d in raised.diagnostics)]
    return []


def warnings_of(sizes: dict[str, int], lines: list[str]) -> list[str]:
    """What torch warns of while a plan is applied."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        parallelized_toy(sizes, lines)
    dist.barrier()
    return [str(item.message) for item in found]
