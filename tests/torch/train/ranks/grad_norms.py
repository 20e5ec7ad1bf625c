"""Norms and clipping, on gradients of every kind, against torch on whole ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

from planc.torch.apply.full_tensor import full_tensor
from planc.torch.train.grad_norm import (
    clip_grad_norm,
    clip_grad_value,
    per_param_grad_norms,
    total_grad_norm,
)
from tests.torch.train.ranks.partly_split import (
    CollectiveRecorder,
    Sizes,
    compute_loss,
    equal_on_all_ranks,
    partly_split,
    relative_error,
    worst_error,
)

KINDS = (2.0, 1.0, math.inf, 3.5, -math.inf, -1.0, 0.0)


def partly_split_norms(sizes: Sizes) -> dict[str, Any]:
    """A model of which a part is split: how far norms and clipped gradients are off."""
    whole, split, _ = partly_split(sizes)
    compute_loss(whole).backward()
    compute_loss(split).backward()
    wrong: dict[str, Any] = {}
    needed = nn.utils.clip_grad_norm_(whole.parameters(), 0.05)
    with CollectiveRecorder() as sent:
        got = clip_grad_norm(split.parameters(), 0.05)
    wrong["norm"], wrong["clipped"] = relative_error(got, needed), worst_error(split, whole, gradients=True)
    assert float(needed) > 0.05
    names = {name: p for name, p in split.named_parameters() if not name.endswith("up.bias")}
    each = per_param_grad_norms(names)
    assert set(each) == set(names)
    for name, norm in each.items():
        wrong[f"norm of {name}"] = relative_error(norm, whole.get_parameter(name).grad.norm())
    nn.utils.clip_grad_value_(whole.parameters(), 1e-4)
    clip_grad_value(split.parameters(), 1e-4)
    wrong["cut off"] = worst_error(split, whole, gradients=True)
    wrong["plain"] = relative_error(full_tensor(split.body.head.weight), whole.body.head.weight)
    return {"wrong": wrong, "sent": sent.names, "same": equal_on_all_ranks(float(got))}


def parameters_of_every_kind() -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Parameters whose gradients are of every kind, and whole ones."""
    two = init_device_mesh("cpu", (2, 2), mesh_dim_names=("a", "b"))
    four = init_device_mesh("cpu", (4,), mesh_dim_names=("c",))
    parts, random = [], torch.Generator().manual_seed(5)
    whole: list[nn.Parameter] = []

    def add(shape: Sequence[int], mesh: Any, placements: Any, late: Any = None, dtype: Any = None) -> None:
        grad = torch.randn(*shape, generator=random).to(dtype)
        whole.append(nn.Parameter(torch.zeros(shape)))
        whole[-1].grad = grad.float().clone()
        zeros = torch.zeros(shape, dtype=dtype)
        parts.append(nn.Parameter(zeros if mesh is None else distribute_tensor(zeros, mesh, placements)))
        if late is not None:
            # A part of the sum on each rank, with a sum that is not that of one rank.
            share = grad * (
                torch.arange(1, 5)[dist.get_rank()]
                if mesh is four
                else [0.25, 0.75][mesh["b"].get_local_rank()]
            )
            parts[-1].grad = DTensor.from_local(share / (10 if mesh is four else 1), mesh, late)
        else:
            parts[-1].grad = grad if mesh is None else distribute_tensor(grad, mesh, placements)

    add((3, 4), None, None)
    add((6, 4), two, [Shard(0), Shard(1)])
    add((4, 4), two, [Shard(0), Shard(0)])
    add((8, 2), two, [Replicate(), Shard(0)])
    add((7,), two, [Replicate(), Replicate()])
    add((5,), two["b"], [Shard(0)])
    add((5,), two["b"], [Replicate()])
    add((2, 3), four, [Shard(0)])  # two ranks hold nothing
    add((4, 3), four, [Shard(1)])
    add((4,), four, [Replicate()], late=[Partial()])
    add((8, 2), four, [Shard(0)], late=[Partial()])
    add((4, 2), two, [Replicate(), Replicate()], late=[Replicate(), Partial()])
    add((40,), two, [Shard(0), Replicate()], dtype=torch.bfloat16)
    add((0, 3), None, None)
    # Without a gradient.
    parts += [nn.Parameter(x) for x in (torch.ones(2), distribute_tensor(torch.ones(2), four, [Shard(0)]))]
    return parts, whole


def norms_of_every_kind() -> dict[str, Any]:
    wrong: dict[str, float] = {}
    for kind in KINDS:
        parts, whole = parameters_of_every_kind()
        # What is empty has no smallest entry in torch.
        filled = [p.grad for p in whole if p.numel()]
        needed = nn.utils.get_total_norm(filled, kind)
        wrong[f"norm {kind}"] = relative_error(total_grad_norm(parts, kind), needed)
    for kind in (2.0, 1.0, math.inf):
        parts, whole = parameters_of_every_kind()
        got = clip_grad_norm((p for p in parts), 0.5, kind)
        filled = [p for p in whole if p.numel()]
        wrong[f"norm {kind}, again"] = relative_error(got, nn.utils.clip_grad_norm_(filled, 0.5, kind))
        wrong |= {f"clipped {kind}, {i}": n for i, n in _gradients(parts, whole)}
    parts, whole = parameters_of_every_kind()
    clip_grad_value(parts, 0.3)
    nn.utils.clip_grad_value_(whole, 0.3)
    wrong |= {f"value {i}": n for i, n in _gradients(parts, whole)}
    large = [nn.Parameter(torch.zeros(4, dtype=torch.float16))]
    large[0].grad = torch.full((4,), 300.0, dtype=torch.float16)
    return {"wrong": wrong, "half": float(total_grad_norm(large)), "none": float(total_grad_norm([]))}


def _gradients(parts: list[nn.Parameter], whole: list[nn.Parameter]) -> list[tuple[int, float]]:
    """How far each gradient is off; where it is in half precision, how far beyond rounding."""
    return [
        (number, relative_error(part.grad, needed.grad) / (400 if part.dtype == torch.bfloat16 else 1))
        for number, (part, needed) in enumerate(zip(parts, whole))
        if needed.numel()
    ]


def nonfinite_gradients(where: int) -> dict[str, Any]:
    """One rank has an infinite entry: what every rank says, and whether gradients are as they were."""
    parts, _ = parameters_of_every_kind()
    sharded: Any = parts[1].grad
    if dist.get_rank() == where:
        sharded.to_local()[0, 0] = math.inf
    before = [_local_copy(p.grad) for p in parts if p.grad is not None]
    try:
        clip_grad_norm(parts, 1.0, error_if_nonfinite=True)
    except RuntimeError as bad:
        after = [_local_copy(p.grad) for p in parts if p.grad is not None]
        sums = {i for i, p in enumerate(parts) if i in (9, 10, 11)}
        same = all(torch.equal(a, b) for i, (a, b) in enumerate(zip(before, after)) if i not in sums)
        return {"message": str(bad), "same": same, "norm": float(clip_grad_norm(parts, 1.0))}
    return {"message": "nothing"}


def _local_copy(tensor: Any) -> Tensor:
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).clone()
