"""The mesh of a plan, and Lightning's mesh of two axes over the same ranks."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Literal

import torch
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from planc.ir.document import Document
from planc.ir.expr import ExprValue
from planc.ir.record import Record
from planc.ir.resolved import Resolved, Settings
from planc.prepare_plan import NotApplicable
from planc.resolve import resolve

ParallelSize = int | Literal["auto"]
DATA_PARALLEL, TENSOR_PARALLEL = "data_parallel", "tensor_parallel"


class PlanAxes(Record):
    """The axes of a plan, outermost first, with their sizes."""

    sizes: Mapping[str, int]
    tensor_axes: tuple[str, ...]
    """The axes that split tensors; the others split the batch."""

    @property
    def data_axes(self) -> tuple[str, ...]:
        """The axes that split the batch."""
        return tuple(name for name in self.sizes if name not in self.tensor_axes)

    def device_count(self, names: tuple[str, ...]) -> int:
        """The product of the sizes of some axes."""
        return prod(self.sizes[name] for name in names)


class WorldSizes(Record):
    """The processes of a run, and the sizes that the user gave."""

    world_size: int
    ranks_per_node: int
    data_parallel_size: ParallelSize = "auto"
    tensor_parallel_size: ParallelSize = "auto"


def resolve_axes(document: Document, options: Mapping[str, ExprValue], world: WorldSizes) -> PlanAxes:
    """The axes of a plan over all processes. An axis without a size gets the user's; where there is none,
    a tensor axis gets the devices of a node, and a data axis the number of nodes, as in Lightning.

    Raises:
        NotApplicable: the sizes do not fit each other, the plan or the number of processes.
    """
    open_plan = resolve(document, Settings(options=dict(options)))
    tensor = tuple(dict.fromkeys(b.axes[0].value for b in open_plan.blocks if b.splits_tensors))
    given = _open_axis_sizes(open_plan, tensor, world)
    resolved = resolve(document, Settings(given, world_size=world.world_size, options=dict(options)))
    diagnostics = (*document.diagnostics, *resolved.diagnostics)
    if any(diagnostic.is_error for diagnostic in diagnostics):
        raise NotApplicable(diagnostics)
    axes = PlanAxes({axis.name: axis.size or 1 for axis in resolved.axes}, tensor)
    reasons = [*_contradictions(axes, world), *_unreduced_axes(resolved, axes)]
    if reasons:
        raise NotApplicable((), tuple(reasons))
    return axes


def _open_axis_sizes(plan: Resolved, tensor: tuple[str, ...], world: WorldSizes) -> dict[str, int]:
    """Sizes for axes that have none in the plan, as far as the user's sizes determine them."""
    open_: dict[bool, list[str]] = {True: [], False: []}
    fixed = {True: 1, False: 1}
    for axis in plan.axes:
        splits = axis.name in tensor
        if axis.size is None:
            open_[splits].append(axis.name)
        else:
            fixed[splits] *= axis.size
    wanted = {True: world.tensor_parallel_size, False: world.data_parallel_size}
    if wanted[True] == wanted[False] == "auto" and open_[True] and open_[False]:
        wanted[True] = world.ranks_per_node
    given = {}
    for splits, size in wanted.items():
        # One open axis takes what the others leave; `_contradictions` reports a size that does not divide.
        if size != "auto" and len(open_[splits]) == 1 and size % fixed[splits] == 0:
            given[open_[splits][0]] = size // fixed[splits]
    return given


def _contradictions(axes: PlanAxes, world: WorldSizes) -> list[str]:
    """Sizes that the user gave and that contradict the plan."""
    found = []
    for name, requested, names in (
        (DATA_PARALLEL, world.data_parallel_size, axes.data_axes),
        (TENSOR_PARALLEL, world.tensor_parallel_size, axes.tensor_axes),
    ):
        has = axes.device_count(names)
        if requested not in ("auto", has):
            shown = ", ".join(f"{axis}={axes.sizes[axis]}" for axis in names) or "no such axis"
            found.append(f"{name}_size={requested}, and the plan has {shown}: leave one of them open")
    if not found and prod(axes.sizes.values()) != world.world_size:
        shown = ", ".join(f"{name}={size}" for name, size in axes.sizes.items()) or "no axis"
        found.append(
            f"the plan has {shown}, and there are {world.world_size} processes: needed: a mesh of all of them"
        )
    return found


def _unreduced_axes(resolved: Resolved, axes: PlanAxes) -> list[str]:
    """Data axes over which no fsdp block averages gradients."""
    averaged = {axis.value for block in resolved.blocks if block.splits_batch for axis in block.axes}
    return [
        f"axis '{name}' splits the batch, and no fsdp block averages gradients over it: "
        f"its {axes.sizes[name]} ranks would drift apart"
        for name in axes.data_axes
        if axes.sizes[name] > 1 and name not in averaged
    ]


def make_meshes(device_type: str, axes: PlanAxes) -> tuple[DeviceMesh, DeviceMesh]:
    """Lightning's mesh of two axes, and the mesh of the plan's axes; they share process groups where possible.
    All ranks call this.
    """
    names, shape = tuple(axes.sizes), tuple(axes.sizes.values())
    ranks = torch.arange(prod(shape)).reshape(shape)
    order = [names.index(name) for name in (*axes.data_axes, *axes.tensor_axes)]
    table = ranks.permute(order).reshape(
        axes.device_count(axes.data_axes), axes.device_count(axes.tensor_axes)
    )
    both = DeviceMesh(device_type, table, mesh_dim_names=(DATA_PARALLEL, TENSOR_PARALLEL))
    if not names:
        return both, both
    if len(axes.data_axes) <= 1 and len(axes.tensor_axes) <= 1:
        groups = [
            both.get_group(TENSOR_PARALLEL if name in axes.tensor_axes else DATA_PARALLEL) for name in names
        ]
        if len(names) == 1:
            return both, DeviceMesh.from_group(groups[0], device_type, mesh_dim_names=names)
        return both, DeviceMesh.from_group(groups, device_type, ranks, mesh_dim_names=names)
    return both, init_device_mesh(device_type, shape, mesh_dim_names=names)
