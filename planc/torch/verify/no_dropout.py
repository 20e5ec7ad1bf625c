"""A forward pass without dropout, wherever the code applies it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_DROPOUT_OPS = frozenset({
    functional.dropout, functional.dropout1d, functional.dropout2d, functional.dropout3d,
    functional.alpha_dropout, functional.feature_alpha_dropout,
    torch.dropout, torch.dropout_, torch.alpha_dropout, torch.alpha_dropout_,
    torch.feature_dropout, torch.feature_dropout_, torch.feature_alpha_dropout, torch.feature_alpha_dropout_,
})  # fmt: skip
_SDPA = functional.scaled_dot_product_attention
_SDPA_DROPOUT_ARGUMENT = 4
"""The position of `dropout_p`."""


class NoDropout(TorchFunctionMode):
    """While this mode is active, dropout returns its input. Keep it active during the backward pass, which may
    recompute parts of the forward pass."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _DROPOUT_OPS:
            return args[0] if args else kwargs["input"]
        if func is _SDPA:
            kwargs.pop("dropout_p", None)
            if len(args) > _SDPA_DROPOUT_ARGUMENT:
                args = (*args[:_SDPA_DROPOUT_ARGUMENT], 0.0, *args[_SDPA_DROPOUT_ARGUMENT + 1 :])
        return func(*args, **kwargs)


def disable_dropout(model: nn.Module) -> None:
    """Set every dropout probability of a model's modules to zero. Fused modules and dropped layers do not call
    torch's dropout, so `NoDropout` does not see them."""
    for module in model.modules():
        for name, value in list(vars(module).items()):
            if type(value) is float and "drop" in name.lower():
                setattr(module, name, 0.0)
        if isinstance(module, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d | nn.AlphaDropout):
            module.p = 0.0
