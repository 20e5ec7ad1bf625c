"""A forward pass without dropout, wherever the code applies it, and without other randomness."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Self

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from planc.torch.apply.compat import wrap_checkpointed_functions
from planc.torch.verify.fixed_samples import fixed_sample, is_sampler

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
    """While this mode is active, dropout returns its input and random draws are fixed, also in what a backward pass
    recomputes later."""

    _active = 0
    """How many of these modes are active."""

    def __enter__(self) -> Self:
        _follow_checkpoints()
        NoDropout._active += 1
        enter: Any = super().__enter__
        enter()
        return self

    def __exit__(self, *exception: object) -> None:
        NoDropout._active -= 1
        leave: Any = super().__exit__
        leave(*exception)

    @classmethod
    def is_active(cls) -> bool:
        """Whether dropout returns its input now."""
        return cls._active > 0

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
        return fixed_sample(func, args, kwargs) if is_sampler(func) else func(*args, **kwargs)


@cache
def _follow_checkpoints() -> None:
    """Let functions that are checkpointed run again without dropout: autograd's engine does not keep the mode."""
    wrap_checkpointed_functions(_without_dropout)


def _without_dropout(function: Callable[..., Any]) -> Callable[..., Any]:
    if not NoDropout.is_active():
        return function

    def run(*args: Any, **kwargs: Any) -> Any:
        with NoDropout():
            return function(*args, **kwargs)

    return run


def disable_dropout(model: nn.Module) -> None:
    """Set every dropout probability of a model's modules to zero. Fused modules and dropped layers do not call
    torch's dropout, so `NoDropout` does not see them."""
    for module in model.modules():
        for name, value in list(vars(module).items()):
            if type(value) is float and "drop" in name.lower():
                setattr(module, name, 0.0)
        if isinstance(module, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d | nn.AlphaDropout):
            module.p = 0.0
