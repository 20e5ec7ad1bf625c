"""Scaling of losses in half precision, on any mix of plain parameters and DTensors."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.optim import Optimizer

from planc.torch.compat import unscale_and_check_
from planc.torch.train.grads import comm_device, group_by_dtype, local_grad, reduce_partial_grads


class ShardedGradScaler(torch.amp.GradScaler):
    """`torch.amp.GradScaler` with one decision for all ranks: if a rank finds a gradient that is not finite, all
    ranks skip the step and lower the scale.

    Torch's scaler supports DTensors of one mesh only, and combines the findings only over the mesh of the first
    gradient: other ranks would make the step.

    Args:
        device: the type of the device, as for torch's.
        group: the ranks that share the model; None: all ranks. All of them call `step`, and
            `unscale_` if one does.
        settings: other arguments of torch's.
    """

    def __init__(self, device: str = "cuda", *, group: ProcessGroup | None = None, **settings: Any) -> None:
        super().__init__(device, **settings)
        self._group = group

    def _unscale_grads_(
        self, optimizer: Optimizer, inv_scale: Tensor, found_inf: Tensor, allow_fp16: bool
    ) -> dict[torch.device, Tensor]:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        if not allow_fp16 and any(p.grad is not None and p.grad.dtype == torch.float16 for p in parameters):
            raise ValueError(
                "gradients in float16 cannot be unscaled. needed: parameters in float32, and a computation "
                "in float16"
            )
        with torch.no_grad():
            reduce_partial_grads(parameters)
            flags = {found_inf.device: found_inf}
            for gradients in group_by_dtype(_local_values(p.grad) for p in parameters if p.grad is not None):
                device = gradients[0].device
                flag = flags.setdefault(device, torch.zeros_like(found_inf, device=device))
                scale = inv_scale.to(device, non_blocking=True)
                unscale_and_check_(gradients, flag, scale)
            self._reduce_found_inf(list(flags.values()))
        return flags

    def _reduce_found_inf(self, flags: list[Tensor]) -> None:
        """Set every flag if a rank has set one on any device."""
        if not dist.is_initialized():
            return
        device = comm_device(flags[0].device, self._group)
        flag = torch.stack([flag.to(device) for flag in flags]).amax(0)
        dist.all_reduce(flag, dist.ReduceOp.MAX, group=self._group)
        for each in flags:
            each.copy_(flag)


def _local_values(gradient: Tensor) -> Tensor:
    return gradient._values() if gradient.is_sparse else local_grad(gradient)
