"""The collectives of one forward and backward pass: those that run, and those that the proof predicted."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.utils._python_dispatch import TorchDispatchMode

import planc
from planc.forecast.collectives import forecast_collectives
from planc.torch.apply.module_graph import capture_module
from tests.torch.apply.ranks.fsdp import BATCH as ROWS
from tests.torch.apply.ranks.fsdp import Toy, parallelized_toy, toy_plan
from tests.torch.apply.ranks.models import BATCH, build_model, example_inputs, plan_options, plan_text
from tests.torch.apply.ranks.training import batch_shard, compute_loss, run_model

FUNCTIONAL = {
    "all_gather_into_tensor": "all_gather",
    "reduce_scatter_tensor": "reduce_scatter",
    "all_reduce": "all_reduce",
    "all_to_all_single": "all_to_all",
}
"""What boundaries run."""
IN_PLACE = {
    "_allgather_base_": "all_gather",
    "_reduce_scatter_base_": "reduce_scatter",
    "allreduce_": "all_reduce",
}
"""What FSDP runs."""


class CollectiveRecord(NamedTuple):
    """A collective: what the two sides are compared by."""

    direction: str
    kind: str
    axis: str
    bytes: int
    """Of the whole tensor."""


class CollectiveCounter(TorchDispatchMode):
    """Counts the collectives that are run under it, in this thread."""

    def __init__(self, mesh: DeviceMesh, direction: str, found: Counter[CollectiveRecord]) -> None:
        super().__init__()
        self.axes = {mesh[axis].get_group().group_name: axis for axis in mesh.mesh_dim_names or ()}
        self.sizes = {axis: mesh[axis].size() for axis in mesh.mesh_dim_names or ()}
        self.direction, self.found = direction, found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        space, _, name = func._schema.name.partition("::")
        if space == "_c10d_functional" and name in FUNCTIONAL:
            self._count(FUNCTIONAL[name], args[0], args[-1], FUNCTIONAL[name] in ("all_gather", "all_to_all"))
        elif space == "c10d" and name in IN_PLACE:
            tensor = args[0][0] if isinstance(args[0], list) else args[0]
            self._count(IN_PLACE[name], tensor, _group_name(args), name == "_reduce_scatter_base_")
        return func(*args, **(kwargs or {}))

    def _count(self, kind: str, tensor: Tensor, group: str, is_slice: bool) -> None:
        axis = self.axes[group]
        size = tensor.numel() * tensor.element_size() * (self.sizes[axis] if is_slice else 1)
        self.found[CollectiveRecord(self.direction, kind, axis, size)] += 1


def _group_name(args: Any) -> str:
    group = next(item for item in args if isinstance(item, torch.ScriptObject))
    return str(ProcessGroup.unbox(group).group_name)


def forecast_mismatches(
    name: str, sizes: dict[str, int], graph: str, plan: dict[str, Any], sequence_parallel: bool
) -> list[str]:
    """Collectives that ran and were not predicted, or the other way round. What is predicted as «at
    most» may be left out."""
    mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    parsed, options = planc.parse(plan_text(name, **plan)), plan_options(name, sequence_parallel)
    ran = _observed(name, parsed, mesh, graph, options)
    result = planc.check(parsed, mesh=sizes, model=graph, options=options)
    return _mismatches(ran, *_forecast(result, batch_shard(mesh)[1]))


def toy_forecast_mismatches(
    sizes: dict[str, int], lines: list[str], more: str, axes: str = "dp"
) -> list[str]:
    """The same of a model whose regions and units lie in each other."""
    _, model, mesh = parallelized_toy(sizes, lines, more, axes)
    parts = prod(size for axis, size in sizes.items() if axis != "tp")
    ran: Counter[CollectiveRecord] = Counter()
    with CollectiveCounter(mesh, "forward", ran):
        loss = model(torch.zeros(ROWS // parts, 3, dtype=torch.int64)).square().mean()
    with CollectiveCounter(mesh, "backward", ran):
        loss.backward()
    graph = capture_module(Toy(), [torch.zeros(ROWS, 3, dtype=torch.int64)])
    result = planc.check(planc.parse(toy_plan(sizes, lines, more, axes)), mesh=sizes, model=graph)
    sure, most = _forecast(result, parts)
    assert sure == most
    return _mismatches(ran, sure, most)


def _mismatches(
    ran: Counter[CollectiveRecord], sure: Counter[CollectiveRecord], most: Counter[CollectiveRecord]
) -> list[str]:
    return [
        f"{one}: {ran[one]} ran, {sure[one]} to {most[one]} predicted"
        for one in sorted({*ran, *most})
        if not sure[one] <= ran[one] <= most[one]
    ]


def _observed(
    name: str, parsed: Any, mesh: DeviceMesh, graph: str, options: dict[str, bool]
) -> Counter[CollectiveRecord]:
    """What runs in one step."""
    model = build_model(name)
    planc.parallelize(model, parsed, mesh, graph=graph, options=options)
    number, count = batch_shard(mesh)
    rows = BATCH // count
    inputs = {key: item[number * rows : (number + 1) * rows] for key, item in example_inputs(name).items()}
    ran: Counter[CollectiveRecord] = Counter()
    with CollectiveCounter(mesh, "forward", ran):
        results = run_model(model, inputs)
        loss = compute_loss(results, torch.zeros(results["logits"].shape[:-1], dtype=torch.int64))
    with CollectiveCounter(mesh, "backward", ran):
        loss.backward()
    return ran


def _forecast(result: Any, parts: int) -> tuple[Counter[CollectiveRecord], Counter[CollectiveRecord]]:
    """What is predicted for sure, and at most."""
    assert result.binding is not None
    assert result.proof is not None
    sure: Counter[CollectiveRecord] = Counter()
    most: Counter[CollectiveRecord] = Counter()
    for row in forecast_collectives(result.binding, result.proof):
        # Boundaries are predicted for the whole batch that the graph was captured with.
        is_value = row.axis == "tp" and not row.tensor.startswith("gradient of ")
        one = CollectiveRecord(row.direction, row.kind, row.axis, row.bytes // (parts if is_value else 1))
        most[one] += row.count
        sure[one] += 0 if row.tensor.endswith("at most") else row.count
    return sure, most
