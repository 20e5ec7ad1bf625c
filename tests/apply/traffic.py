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
from planc.forecast.collectives import collectives
from planc.torch.apply.fits import captured
from tests.apply.models import BATCH, inputs_of, model_of, options_of, plan_of
from tests.apply.sharding import BATCH as ROWS
from tests.apply.sharding import Toy, split, text_of
from tests.apply.train import batch_of, loss_of, run

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


class One(NamedTuple):
    """A collective: what the two sides are compared by."""

    direction: str
    kind: str
    axis: str
    bytes: int
    """Of the whole tensor."""


class Counting(TorchDispatchMode):
    """Counts the collectives that are run under it, in this thread."""

    def __init__(self, mesh: DeviceMesh, direction: str, found: Counter[One]) -> None:
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
            self._count(IN_PLACE[name], tensor, _name(args), name == "_reduce_scatter_base_")
        return func(*args, **(kwargs or {}))

    def _count(self, kind: str, tensor: Tensor, group: str, is_slice: bool) -> None:
        axis = self.axes[group]
        size = tensor.numel() * tensor.element_size() * (self.sizes[axis] if is_slice else 1)
        self.found[One(self.direction, kind, axis, size)] += 1


def _name(args: Any) -> str:
    group = next(item for item in args if isinstance(item, torch.ScriptObject))
    return str(ProcessGroup.unbox(group).group_name)


def differences(
    name: str, sizes: dict[str, int], graph: str, plan: dict[str, Any], sequence_parallel: bool
) -> list[str]:
    """Collectives that ran and were not predicted, or the other way round. What is predicted as «at
    most» may be left out."""
    mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    said, options = planc.parse(plan_of(name, **plan)), options_of(name, sequence_parallel)
    ran = _ran(name, said, mesh, graph, options)
    result = planc.check(said, mesh=sizes, model=graph, options=options)
    return _wrong(ran, *_predicted(result, batch_of(mesh)[1]))


def toy(sizes: dict[str, int], lines: list[str], more: str, axes: str = "dp") -> list[str]:
    """The same of a model whose regions and units lie in each other."""
    _, model, mesh = split(sizes, lines, more, axes)
    parts = prod(size for axis, size in sizes.items() if axis != "tp")
    ran: Counter[One] = Counter()
    with Counting(mesh, "forward", ran):
        loss = model(torch.zeros(ROWS // parts, 3, dtype=torch.int64)).square().mean()
    with Counting(mesh, "backward", ran):
        loss.backward()
    graph = captured(Toy(), [torch.zeros(ROWS, 3, dtype=torch.int64)])
    result = planc.check(planc.parse(text_of(sizes, lines, more, axes)), mesh=sizes, model=graph)
    sure, most = _predicted(result, parts)
    assert sure == most
    return _wrong(ran, sure, most)


def _wrong(ran: Counter[One], sure: Counter[One], most: Counter[One]) -> list[str]:
    return [
        f"{one}: {ran[one]} ran, {sure[one]} to {most[one]} predicted"
        for one in sorted({*ran, *most})
        if not sure[one] <= ran[one] <= most[one]
    ]


def _ran(name: str, said: Any, mesh: DeviceMesh, graph: str, options: dict[str, bool]) -> Counter[One]:
    """What runs in one step."""
    model = model_of(name)
    planc.parallelize(model, said, mesh, graph=graph, options=options)
    number, count = batch_of(mesh)
    rows = BATCH // count
    inputs = {key: item[number * rows : (number + 1) * rows] for key, item in inputs_of(name).items()}
    ran: Counter[One] = Counter()
    with Counting(mesh, "forward", ran):
        results = run(model, inputs)
        loss = loss_of(results, torch.zeros(results["logits"].shape[:-1], dtype=torch.int64))
    with Counting(mesh, "backward", ran):
        loss.backward()
    return ran


def _predicted(result: Any, parts: int) -> tuple[Counter[One], Counter[One]]:
    """What is predicted for sure, and at most."""
    assert result.binding is not None
    assert result.proof is not None
    sure: Counter[One] = Counter()
    most: Counter[One] = Counter()
    for row in collectives(result.binding, result.proof):
        # Boundaries are predicted for the whole batch that the graph was captured with.
        is_value = row.axis == "tp" and not row.what.startswith("gradient of ")
        one = One(row.direction, row.kind, row.axis, row.bytes // (parts if is_value else 1))
        most[one] += row.count
        sure[one] += 0 if row.what.endswith("at most") else row.count
    return sure, most
