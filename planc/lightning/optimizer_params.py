"""Optimizers that were made before their model was split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn
from torch.optim import Optimizer


@contextmanager
def remap_optimizer_params(module: nn.Module, optimizers: Sequence[Optimizer]) -> Iterator[None]:
    """Give optimizers the parameters that replace theirs while the body of this context splits the module.

    Args:
        module: a module that the body splits; its names stay.
        optimizers: they hold parameters of the module, and have not stepped.

    Raises:
        ValueError: an optimizer has stepped already; nothing has been changed.
    """
    if any(optimizer.state for optimizer in optimizers):
        raise ValueError("an optimizer has made steps already: set up its model before the first one")
    # The old parameters stay alive in here, so that their ids are not given to others.
    before = dict(module.named_parameters())
    yield
    replaced_by = {id(old): module.get_parameter(name) for name, old in before.items()}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["params"] = [replaced_by.get(id(param), param) for param in group["params"]]
