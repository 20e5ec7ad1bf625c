"""A model under a plan against the same model as it is: loss, gradients, and weights after some steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor

import planc
from planc.ir.lowered import Lowered, LoweredParam
from planc.lower.lower_plan import lower_binding
from planc.torch.apply.dtensor_params import local_shard
from tests.torch.apply.ranks.models import BATCH, build_model, example_inputs, plan_options, plan_text
from tests.torch.apply.ranks.overlap import count_overlapped

TOLERANCE = 1e-5
"""Of the largest number of a tensor, or of the largest gradient where it is zero but for rounding."""
STEPS = 5
_references: dict[str, Reference] = {}


class Reference:
    """The model as it is, trained for some steps on whole batches."""

    def __init__(self, name: str) -> None:
        self.model, self.inputs = build_model(name), example_inputs(name)
        self.start = {key: item.clone() for key, item in self.model.state_dict().items()}
        random = torch.Generator().manual_seed(2)
        with torch.no_grad():
            *rows, classes = run_model(self.model, self.inputs)["logits"].shape
        self.labels = torch.randint(0, classes, rows, generator=random)
        optimizer = _optimizer(self.model)
        self.losses, self.norms = [], []
        self.grads: dict[str, Tensor | None] = {}
        for step in range(STEPS):
            optimizer.zero_grad()
            loss = compute_loss(run_model(self.model, self.inputs), self.labels)
            loss.backward()
            if not step:
                self.grads = {
                    key: None if param.grad is None else param.grad.clone()
                    for key, param in self.model.named_parameters(remove_duplicate=False)
                }
            self.losses.append(float(loss))
            self.norms.append(float(nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)))
            optimizer.step()


def _optimizer(model: nn.Module) -> torch.optim.Optimizer:
    # An entry whose gradient is zero but for rounding would take steps of full length: epsilon is
    # far above rounding.
    return torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-3, weight_decay=0.1)


def run_model(model: nn.Module, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """What leaves the model and is no number of tokens, by name."""
    if hasattr(getattr(model, "config", None), "use_cache"):
        inputs = {**inputs, "use_cache": False}
    found = model(**inputs).items()
    return {key: item for key, item in found if isinstance(item, Tensor) and item.is_floating_point()}


def compute_loss(results: Mapping[str, Tensor], labels: Tensor) -> Tensor:
    """Cross entropy of the logits, as users write it, and the mean square of what else leaves the
    model: the same on every rank of a tensor axis."""
    logits = results["logits"]
    found = nn.functional.cross_entropy(logits.view(-1, logits.shape[-1]), labels.reshape(-1))
    for key, item in results.items():
        if key != "logits":
            found = found + (item**2).mean()
    return found


def train_and_compare(
    name: str, sizes: dict[str, int], graph: str | None, plan: dict[str, bool], sequence_parallel: bool
) -> list[str]:
    """What is wrong on this rank."""
    if name not in _references:
        _references.clear()
        _references[name] = Reference(name)
    whole = _references[name]
    mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    model = build_model(name)
    parsed, options = planc.parse(plan_text(name, **plan)), plan_options(name, sequence_parallel)
    planc.parallelize(model, parsed, mesh, graph=graph, options=options)
    lowered = lower_plan(parsed, sizes, graph, options)
    with count_overlapped() as ran:
        found = list(_mismatches(whole, model, mesh, lowered))
    overlapped = sum(map(len, lowered.tensor[0].overlapped_gathers.values())) if lowered.tensor else 0
    return [*found, "no product ran beside its gather"] if overlapped and not ran[0] else found


def lower_plan(plan: Any, sizes: dict[str, int], graph: str | None, options: Mapping[str, Any]) -> Lowered:
    """What the plan told the model."""
    result = planc.check(plan, mesh=sizes, model=graph, options=options)
    assert result.binding is not None
    assert result.proof is not None
    return lower_binding(result.binding, result.proof)


def _mismatches(whole: Reference, model: nn.Module, mesh: DeviceMesh, lowered: Lowered) -> Iterator[str]:
    number, count = batch_shard(mesh)
    rows = BATCH // count
    own = slice(number * rows, (number + 1) * rows)
    inputs = {key: item[own] for key, item in whole.inputs.items()}
    optimizer = _optimizer(model)
    largest = max(float(grad.abs().max()) for grad in whole.grads.values() if grad is not None)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = compute_loss(run_model(model, inputs), whole.labels[own])
        yield from _compare(f"loss {step}", _mean_over_batch(loss, mesh), torch.tensor(whole.losses[step]), 0)
        loss.backward()
        if not step:
            for key, param in model.named_parameters(remove_duplicate=False):
                yield from _compare_grad(key, param.grad, whole.grads[key], lowered, mesh, largest)
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        yield from _compare(f"norm {step}", _full(norm), torch.tensor(whole.norms[step]), 0)
        optimizer.step()
    after = dict(whole.model.named_parameters(remove_duplicate=False))
    for key, param in model.named_parameters(remove_duplicate=False):
        needed = in_rank_order(after[key].detach(), key, lowered, mesh)
        yield from _compare(f"weight {key} after {STEPS} steps", _full(param.detach()), needed, 0)


def batch_shard(mesh: DeviceMesh) -> tuple[int, int]:
    """The number of this rank's part of the batch, and how many parts there are."""
    number, count = 0, 1
    for axis in mesh.mesh_dim_names or ():
        if axis != "tp":
            number = number * mesh[axis].size() + mesh[axis].get_local_rank()
            count *= mesh[axis].size()
    return number, count


def _mean_over_batch(loss: Tensor, mesh: DeviceMesh) -> Tensor:
    """The loss on all parts of the batch."""
    found = loss.detach().clone()
    for axis in mesh.mesh_dim_names or ():
        dist.all_reduce(found, group=mesh[axis].get_group())
    return found / mesh.size()


def _compare_grad(
    key: str, grad: Tensor | None, needed: Tensor | None, lowered: Lowered, mesh: DeviceMesh, largest: float
) -> Iterator[str]:
    if grad is None or needed is None:
        if (grad is None) != (needed is None):
            yield f"the gradient of {key} is missing on one side"
        return
    yield from _compare(f"gradient of {key}", _full(grad), in_rank_order(needed, key, lowered, mesh), largest)


def in_rank_order(x: Tensor, key: str, lowered: Lowered, mesh: DeviceMesh) -> Tensor:
    """A whole parameter in the order of the ranks that hold its slices."""
    module, _, own = key.rpartition(".")
    for axis in lowered.tensor:
        part = axis.modules[module].parameters.get(own) if module in axis.modules else None
        if part is not None and len(part.part_sizes) > 1:
            ranks = mesh[axis.axis].size()
            x = torch.cat([local_shard(x, part, rank, ranks) for rank in range(ranks)], _dim(part))
    return x


def _dim(part: LoweredParam) -> int:
    assert part.dim is not None
    return part.dim


def _full(x: Tensor) -> Tensor:
    return x.full_tensor() if isinstance(x, DTensor) else x


def _compare(what: str, got: Tensor, needed: Tensor, floor: float) -> Iterator[str]:
    got, needed = got.detach(), needed.detach()
    if got.shape != needed.shape:
        yield f"{what} has shape {tuple(got.shape)}, not {tuple(needed.shape)}"
        return
    off, scale = float((got - needed).abs().max()), float(needed.abs().max())
    if not off <= TOLERANCE * max(scale, floor):
        yield f"{what} is off by {off / max(scale, floor, 1e-30):.1e}"
