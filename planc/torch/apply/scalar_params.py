"""Parameters without dims, which FSDP2 cannot shard: every rank keeps them, and their gradients are averaged.

FSDP2 averages the gradients of what it shards over the ranks that split the batch. These follow it: in the same dtype, and
not in backward passes that only accumulate. An average of (an average plus a rank's own gradient) is the average of the
sum, so that backward passes may accumulate either way.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from planc.torch.compat import fsdp_param_groups, local_tensor, own_parameters


class ScalarParams:
    """The parameters without dims of the modules of one unit.

    Args:
        modules: of the unit, before `fully_shard`.
        mesh: the axes that split the batch.
        dtype: in which gradients are summed; None: that of the gradients.
    """

    def __init__(self, modules: Sequence[nn.Module], mesh: DeviceMesh, dtype: torch.dtype | None) -> None:
        self.modules, self.mesh, self.dtype = modules, mesh, dtype
        self.groups: list[ProcessGroup] = list(mesh.get_all_groups())
        self.owners = [
            (owner, name)
            for module in modules
            for owner in _modules_of_unit(module)
            for name, parameter in owner.named_parameters(recurse=False)
            if not parameter.ndim
        ]
        self._hooked: dict[tuple[nn.Module, str], weakref.ref[nn.Parameter]] = {}

    @property
    def params(self) -> set[nn.Parameter]:
        """The parameters, which `fully_shard` has to ignore."""
        return {getattr(owner, name) for owner, name in self.owners}

    def follow(self) -> None:
        """Move them to the mesh's device as FSDP2 does, and average their gradients from now on."""
        if not self.owners:
            return
        for parameter in self.params:
            if not parameter.is_meta and not isinstance(parameter, DTensor):
                parameter.data = parameter.data.to(torch.device(self.mesh.device_type))
        self._add_hooks()
        for module in self.modules:
            # Loading or materializing the model may have made other parameters since.
            module.register_forward_pre_hook(lambda *_: self._add_hooks(), prepend=True)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _add_hooks(self) -> None:
        for owner, name in self.owners:
            parameter = own_parameters(owner).get(name)
            if not isinstance(parameter, nn.Parameter) or not parameter.requires_grad:
                continue
            hooked = self._hooked.get((owner, name))
            if hooked is None or hooked() is not parameter:
                self._hooked[owner, name] = weakref.ref(parameter)
                register: Any = parameter.register_post_accumulate_grad_hook
                register(self._average)

    @torch.no_grad()
    def _average(self, parameter: Tensor) -> None:
        if parameter.grad is None or not self._reduces():
            return
        gradient = parameter.grad
        if isinstance(gradient, DTensor) and isinstance(parameter, DTensor):
            if any(placement.is_partial() for placement in gradient.placements):
                gradient = parameter.grad = gradient.redistribute(placements=parameter.placements)
            gradient = local_tensor(gradient)
        total = gradient.to(self.dtype or gradient.dtype, copy=True)
        for group in self.groups:
            dist.all_reduce(total, group=group)
        gradient.copy_(total / self.mesh.size())

    def _reduces(self) -> bool:
        """Whether the unit reduces gradients in this backward pass; one without sharded parameters always does."""
        groups = [group for module in self.modules[:1] for group in fsdp_param_groups(module)]
        return all(group is None or group.reduce_grads for group in groups)


def _modules_of_unit(module: nn.Module) -> list[nn.Module]:
    """A module and those below it that are in no unit yet."""
    found = [module]
    for child in module.children():
        if not isinstance(child, FSDPModule):
            found += _modules_of_unit(child)
    return found
