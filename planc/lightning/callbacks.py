"""Lightning's callbacks that handle parameters by themselves, on split parameters."""

from __future__ import annotations

from collections.abc import Iterable
from functools import wraps
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import BaseFinetuning, StochasticWeightAveraging
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from planc.lightning import compat


def adapt_callbacks(module: pl.LightningModule) -> None:
    """Let the callbacks of a module's Trainer work on the parameters that a plan has split."""
    for callback in compat.callbacks(module):
        if isinstance(callback, StochasticWeightAveraging):
            compat.set_average_model(callback, _Averages(module))
        elif isinstance(callback, BaseFinetuning):
            _filter_by_identity()


class _Averages(nn.Module):
    """Copies of a module's parameters, in its order: the callback has copied the module before it was split."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.averages = nn.ParameterList(
            [
                nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
                for parameter in module.parameters()
            ]
        )


def _filter_by_identity() -> None:
    """Lightning asks by value whether an optimizer has a parameter already. Torch cannot compare DTensors of two shapes."""
    by_value: Any = BaseFinetuning.filter_on_optimizer
    if hasattr(by_value, "__wrapped__"):
        return

    @wraps(by_value)
    def filter_on_optimizer(optimizer: Optimizer, params: Iterable[Tensor]) -> list[Any]:
        params = list(params)
        if not any(isinstance(param, DTensor) for param in params):
            return list(by_value(optimizer, params))
        known = {id(param) for group in optimizer.param_groups for param in group["params"]}
        fresh = [param for param in params if id(param) not in known]
        if len(fresh) < len(params):
            rank_zero_warn(
                "The provided params to be frozen already exist within another group of this optimizer."
            )
        return fresh

    BaseFinetuning.filter_on_optimizer = staticmethod(filter_on_optimizer)  # type: ignore[method-assign]
