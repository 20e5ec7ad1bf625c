"""The collectives of one forward and backward pass: those that run, and those that the proof predicted."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.utils._python_dispatch import TorchDispatchMode

import planc
from planc.forecast.collectives import collectives
from tests.apply.models import BATCH, inputs_of, model_of, options_of, plan_of
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
    """Collectives that ran and were not predicted, or the other way round."""
    ran, predicted = _both(name, sizes, graph, plan, options_of(name, sequence_parallel))
    return [
        f"{one}: {ran[one]} ran, {predicted[one]} predicted"
        for one in sorted({*ran, *predicted})
        if ran[one] != predicted[one]
    ]


def _both(
    name: str, sizes: dict[str, int], graph: str, plan: dict[str, Any], options: dict[str, bool]
) -> tuple[Counter[One], Counter[One]]:
    """What ran in one step, and what was predicted."""
    mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    model, said = model_of(name), planc.parse(plan_of(name, **plan))
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
    return ran, _predicted(said, sizes, graph, options, count)


def _predicted(
    said: Any, sizes: dict[str, int], graph: str, options: dict[str, bool], parts: int
) -> Counter[One]:
    result = planc.check(said, mesh=sizes, model=graph, options=options)
    assert result.binding is not None
    assert result.proof is not None
    found: Counter[One] = Counter()
    for row in collectives(result.binding, result.proof):
        # Boundaries are predicted for the whole batch that the graph was captured with.
        is_value = row.axis == "tp" and not row.what.startswith("gradient of ")
        found[One(row.direction, row.kind, row.axis, row.bytes // (parts if is_value else 1))] += row.count
    return found
