"""Copies of models without numbers."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh


def meta_copy(model: nn.Module) -> nn.Module:
    """A copy of a module with parameters and buffers on the meta device."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(
            torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad
        )
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    for module in model.modules():
        memo |= {id(value): value for value in vars(module).values() if isinstance(value, DeviceMesh)}
    return copy.deepcopy(model, memo)
