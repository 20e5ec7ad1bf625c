"""Modules that do what a row of the table in docs/soundness.md says; the code in the row is what they run.

A reference such as `tests/proof/unsupported_modules.py:a_counter` names the row whose first cell is "a counter".
"""

from __future__ import annotations

import random
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.utils._python_dispatch import TorchDispatchMode

PAGE = Path(__file__).parents[2] / "docs" / "soundness.md"
PLAN = "mesh tp\ntensor tp {\n    first  colwise\n    last   rowwise\n}\n"
WIDTH = 8


class UnsupportedRow(NamedTuple):
    """A row of the table."""

    what: str
    code: str
    when_built: bool
    """Whether the code runs when the module is made, not in its forward."""
    verdict: str
    """`unproved`, or `not captured`."""
    law: str
    wrong: bool = False
    """Whether the page says that the numbers of a split model are wrong."""

    @property
    def name(self) -> str:
        return re.sub(r"\W+", "_", self.what.lower()).strip("_")


_LINE = re.compile(
    r"\| (.+?) \| `(.+?)`(, when built)? \| (unproved|not captured), (\w\d+)(; wrong)? \| .+ \|"
)


def table_rows() -> list[UnsupportedRow]:
    """The table, as the page has it."""
    text = PAGE.read_text(encoding="utf-8").partition("## Outside the claim\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]  # the first one is the head
    found = [_LINE.fullmatch(line) for line in lines if not set(line) <= set("|- ")]
    assert all(found), [line for line, one in zip(lines, found, strict=False) if one is None]
    return [
        UnsupportedRow(m[1], m[2].replace(r"\|", "|"), bool(m[3]), m[4], m[5], bool(m[6])) for m in found if m
    ]


class UnsupportedModel(nn.Module):
    """Two layers, the first split by output features and the last by input features, and code between them."""

    def __init__(self, row: UnsupportedRow) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.count, self.kept = 0, 0.0
        if "self.rnn" in row.code:
            self.rnn = nn.GRUCell(WIDTH, WIDTH)
        if "self.seen" in row.code:
            self.register_buffer("seen", torch.zeros(()))
        built, between = (row.code, "pass") if row.when_built else ("pass", row.code)
        _function(built)(self, None)
        self.between = _function(between)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.last(self.between(self, self.first(x)))
        return found


def _function(line: str) -> Callable[[Any, Any], Any]:
    made: dict[str, Any] = {}
    exec(f"def between(self, y):\n    {line}\n    return y\n", globals(), made)
    found: Callable[[Any, Any], Any] = made["between"]
    return found


def __getattr__(name: str) -> Callable[[], tuple[nn.Module, Tensor]]:
    for row in table_rows():
        if row.name == name:
            return lambda: (UnsupportedModel(row), torch.zeros(4, WIDTH))
    raise AttributeError(name)


# ---- what the rows speak of --------------------------------------------------------


@torch.library.custom_op("outside::relu", mutates_args=())
def _relu(x: Tensor) -> Tensor:
    """A kernel that has the name of one of torch's."""
    return x.softmax(-1)


@_relu.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


def _backward(_: Any, gradient: Tensor) -> Tensor:
    return gradient


_relu.register_autograd(_backward)


@torch.library.custom_op("outside::unknown", mutates_args=())
def _unknown(x: Tensor) -> Tensor:
    """A kernel that nobody can run without numbers."""
    return x.softmax(-1)


class Squash(torch.autograd.Function):
    """A function with a gradient of its own."""

    @staticmethod
    def forward(_: Any, x: Tensor) -> Tensor:
        return x.softmax(-1)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return gradient


def squash(x: Tensor) -> Tensor:
    return x.softmax(-1)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    scripted = torch.jit.script(squash)


class Softening(TorchDispatchMode):
    """Does something else than it is asked for."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.relu.default:
            return torch.ops.aten._softmax.default(args[0], -1, False)
        return func(*args, **(kwargs or {}))


class Centred(nn.Parameter):
    """A weight that decides what an operation on it gives."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **(kwargs or {}))
            return result - result.mean(-1, keepdim=True) if func is nn.functional.linear else result


USED = (random, np, distributed)
"""Modules that rows name."""
