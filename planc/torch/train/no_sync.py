"""Micro-batches whose gradients stay on their rank."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.distributed.fsdp import FSDPModule

from planc.torch.compat import fsdp_param_groups


@contextmanager
def no_sync(model: nn.Module, *, enabled: bool = True) -> Iterator[None]:
    """Backward passes in here add to the gradients and reduce none: the first one outside of it
    reduces the sum of all, also over the replicas of HSDP. Until then each rank holds whole
    gradients of its units.

    Args:
        model: the model, or one around it; units of FSDP2 in it are found, whoever made them.
            One without any is left as it is.
        enabled: False: nothing is changed.
    """
    groups = _fsdp_param_groups(model) if enabled else []
    before = [(group, group.reduce_grads, group.all_reduce_grads) for group in groups]
    for group in groups:
        group.reduce_grads = group.all_reduce_grads = False
    try:
        yield
    finally:
        for group, reduces, reduces_replicas in before:
            group.reduce_grads, group.all_reduce_grads = reduces, reduces_replicas


def _fsdp_param_groups(model: nn.Module) -> list[Any]:
    """What FSDP2 reduces together. Torch has a setter of these flags and no way to read them."""
    found: list[Any] = []
    for module in model.modules():
        if isinstance(module, FSDPModule):
            found += fsdp_param_groups(module)
    return [group for group in found if group is not None]
