"""Random draws with fixed numbers in the place of what is drawn: the same for every entry and on every rank."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Arguments = tuple[Any, ...]
Keywords = Mapping[str, Any]


def _argument(args: Arguments, kwargs: Keywords, position: int, name: str, default: Any) -> Any:
    return args[position] if len(args) > position else kwargs.get(name, default)


def _uniform(args: Arguments, kwargs: Keywords) -> Any:
    return (_argument(args, kwargs, 1, "from", 0.0) + _argument(args, kwargs, 2, "to", 1.0)) / 2


def _normal(args: Arguments, kwargs: Keywords) -> Any:
    # Not the mean: at zero, noise and its gradient would vanish.
    return _argument(args, kwargs, 1, "mean", 0.0) + _argument(args, kwargs, 2, "std", 1.0)


def _bernoulli(args: Arguments, kwargs: Keywords) -> Any:
    p = _argument(args, kwargs, 1, "p", 0.5)
    return (torch.as_tensor(p) >= 0.5).to(torch.float64)


def _bernoulli_of_entries(args: Arguments, kwargs: Keywords) -> Any:
    return _bernoulli((None, *args), {"p": kwargs.get("input")})


def _always(value: float) -> Callable[[Arguments, Keywords], Any]:
    return lambda *_: value


_VALUES: dict[Callable[..., Any], Callable[[Arguments, Keywords], Any]] = {
    torch.rand: _always(0.5),
    torch.rand_like: _always(0.5),
    torch.randn: _always(1.0),
    torch.randn_like: _always(1.0),
    torch.bernoulli: _bernoulli_of_entries,
    torch.Tensor.bernoulli: _bernoulli_of_entries,
    torch.Tensor.bernoulli_: _bernoulli,
    torch.Tensor.uniform_: _uniform,
    torch.Tensor.normal_: _normal,
    torch.Tensor.exponential_: lambda args, kwargs: 1.0 / _argument(args, kwargs, 1, "lambd", 1.0),
}
"""By the function that draws: the numbers, from its arguments."""


def is_sampler(function: Callable[..., Any]) -> bool:
    """Whether the numbers that a function draws can be fixed."""
    return function in _VALUES


def fixed_sample(function: Callable[..., Any], args: Arguments, kwargs: Keywords) -> Tensor:
    """The result of a function that draws, with fixed numbers: in place of a uniform one its mean, of a normal one the
    mean and one standard deviation, of a choice the likelier side."""
    result: Tensor = function(*args, **kwargs)
    with torch.no_grad():
        value = torch.as_tensor(_VALUES[function](args, kwargs), dtype=result.dtype, device=result.device)
        result.detach().copy_(value.expand(result.shape))
    return result
