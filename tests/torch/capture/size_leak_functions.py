"""Code that reads a size in a roundabout way, for the table in smuggling.py."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import torch
from torch import Tensor


@functools.lru_cache
def cached(n: int) -> float:
    return 1.0 if n == 8 else 2.0


class Leaky(torch.autograd.Function):
    """Gives a number beside its tensor."""

    @staticmethod
    def forward(_: Any, y: Any) -> Any:
        return y * 1.0, y.shape[1]

    @staticmethod
    def backward(_: Any, gradient: Any, __: Any) -> Any:
        return gradient


def second(y: Tensor) -> int:
    return y.shape[1]


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    scripted = torch.jit.script(second)


class Leaving(torch.autograd.Function):
    """Leaves a number behind."""

    left = 0

    @staticmethod
    def forward(_: Any, y: Any) -> Any:
        Leaving.left = y.shape[1]
        return y.clone()

    @staticmethod
    def backward(_: Any, gradient: Any) -> Any:
        return gradient


def left(y: Any) -> int:
    Leaving.apply(y.detach())
    return Leaving.left


class Looking(torch.autograd.Function):
    """Leaves a number behind, and gives nothing."""

    @staticmethod
    def forward(_: Any, y: Any) -> Any:
        Leaving.left = y.shape[1]


def left_only(y: Any) -> int:
    Looking.apply(y.detach())
    return Leaving.left


def tried(y: Any) -> float:
    try:
        torch.zeros(1, 4) + y.detach()
    except RuntimeError:
        return 1.0
    return 2.0


def matched(n: Any) -> float:
    match n:
        case 8:
            return 1.0
        case _:
            return 2.0


def found_in(y: Any, table: Any) -> float:
    try:
        return float(table[y.shape[1]])
    except KeyError:
        return 2.0


def write_item(y: Any) -> Any:
    one = torch.tensor(1)
    one.fill_(y.shape[1])
    return one.item()


def write_view(y: Any) -> Any:
    one = torch.tensor([1])
    view = one.view(())
    one.fill_(y.shape[1])
    return view.item()


def set_item(y: Any) -> Any:
    one = torch.tensor([1])
    one[0] = y.shape[1]
    return one.item()


def counted(y: Any) -> int:
    return sum(1 for _ in range(y.shape[1]))


def raised(y: Any) -> int:
    try:
        y.view(3, 5)
    except RuntimeError as bad:
        return len(str(bad))
    return 0
