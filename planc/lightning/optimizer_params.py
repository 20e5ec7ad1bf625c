"""Optimizers made before their model was split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn
from torch.optim import Optimizer


@contextmanager
def remap_optimizer_params(module: nn.Module, optimizers: Sequence[Optimizer]) -> Iterator[None]:
    """While a module is split: its parameters become others, and fresh optimizers are given those.

    Raises:
        ValueError: an optimizer has made steps already; nothing has been changed.
    """
    if any(optimizer.state for optimizer in optimizers):
        raise ValueError("an optimizer has made steps already: set up its model before the first one")
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    before = dict(module.named_parameters())  # what an id means, as long as it is looked up
    yield
    after = {id(before[name]): module.get_parameter(name) for name in names.values()}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["params"] = [after.get(id(parameter), parameter) for parameter in group["params"]]
