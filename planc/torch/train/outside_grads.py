"""Trained parameters outside of the part that a plan is for: every rank of a tensor group has all of each, and must
compute the same gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.tensor import DTensor

from planc.torch.train.digest import tensor_digest
from planc.torch.train.grads import all_gather_flat, comm_device

_TOLERANCE = 1e-2
"""Of the largest gradient of a parameter: kernels that add in a random order differ by far less."""


class OutsideGrads:
    """Compares the gradients of these parameters after the steps 1, 2, 4, 8, ...: one collective of 8 bytes a rank
    where they agree.

    Args:
        model: of which a plan covers a part.
        covered: the name of that part; empty: the model itself, and there is nothing to compare.
        group: a tensor group. Each of its ranks calls `check`.
    """

    def __init__(self, model: nn.Module, covered: str, group: ProcessGroup) -> None:
        inside = {id(parameter) for parameter in model.get_submodule(covered).parameters()}
        self._parameters = {
            name: parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and id(parameter) not in inside and not isinstance(parameter, DTensor)
        }
        self._group, self._covered, self._steps = group, covered, 0

    def check(self) -> str | None:
        """After a step: what is wrong, the same on every rank of the group; None: nothing."""
        if not self._parameters or self._group.size() < 2:
            return None
        self._steps += 1
        if self._steps & (self._steps - 1):
            return None
        grads = [_strided_grad(parameter) for parameter in self._parameters.values()]
        if self._agree(grads):
            return None
        worst = {
            name: self._difference(parameter if grad is None else grad, grad is None)
            for (name, parameter), grad in zip(self._parameters.items(), grads, strict=True)
        }
        off = {name: error for name, error in worst.items() if not error <= _TOLERANCE}
        if not off:
            return None
        name = max(off, key=lambda each: off[each])
        return (
            f"{len(off)} trained parameter{'s' * (len(off) > 1)} outside of '{self._covered}', which the plan covers, "
            f"{'have' if len(off) > 1 else 'has'} other gradients on each rank of a tensor group, and the copies drift apart: "
            f"{', '.join(off)} ('{name}' by {off[name]:.0%}). needed: the same computation on these ranks outside of "
            f"'{self._covered}', with the same random numbers; or a plan that covers them"
        )

    def _agree(self, grads: Sequence[Tensor | None]) -> bool:
        """Whether all ranks have the same bits."""
        digests = [0 if grad is None else 1 + int(tensor_digest(grad)) for grad in grads]
        own = hash(tuple(digests)) & (2**62 - 1)
        device = comm_device(torch.device("cpu"), self._group)
        found = all_gather_flat(torch.tensor([own], dtype=torch.int64, device=device), self._group)
        return len(set(found.tolist())) == 1

    def _difference(self, tensor: Tensor, is_missing: bool) -> float:
        """How far the ranks' gradients of one parameter are apart, of the largest entry; a missing one is zero."""
        own = torch.zeros_like(tensor, dtype=torch.float32) if is_missing else tensor.detach().float()
        own = own.to(comm_device(own.device, self._group)).nan_to_num()
        largest, smallest = own.clone(), own.clone()
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=self._group)
        dist.all_reduce(smallest, dist.ReduceOp.MIN, group=self._group)
        scale = torch.maximum(largest.abs(), smallest.abs()).max()
        return float((largest - smallest).max() / scale) if scale > 0 else 0.0


def _strided_grad(parameter: nn.Parameter) -> Tensor | None:
    grad = parameter.grad
    return grad if grad is not None and grad.layout == torch.strided else None
