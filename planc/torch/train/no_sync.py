"""Gradient accumulation without communication."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.distributed.fsdp import FSDPModule

from planc.torch.compat import fsdp_param_groups


@contextmanager
def no_sync(model: nn.Module, *, enabled: bool = True) -> Iterator[None]:
    """Backward passes in this context accumulate gradients without reducing them. The first one after it reduces
    their sum, also over the replicas of HSDP. Until then each rank holds unsharded gradients of its units.

    Args:
        model: a model with units of FSDP2, from planc or not, at any depth. Other models stay as they are.
        enabled: False: nothing is changed.
    """
    units = [module for module in model.modules() if isinstance(module, FSDPModule)] if enabled else []
    before = [(unit, *flags) for unit in units if (flags := _reduction_flags(unit)) is not None]
    for unit, *_ in before:
        unit.set_requires_gradient_sync(False, recurse=False)
    try:
        yield
    finally:
        for unit, reduces, all_reduces in before:
            unit.set_requires_gradient_sync(reduces, recurse=False)
            unit.set_requires_all_reduce(all_reduces, recurse=False)


def _reduction_flags(unit: FSDPModule) -> tuple[bool, bool] | None:
    """Whether a unit reduces its gradients over shards, and over replicas; None: it has no parameters of its own."""
    group = next((group for group in fsdp_param_groups(unit) if group is not None), None)
    return None if group is None else (group.reduce_grads, group.all_reduce_grads)
