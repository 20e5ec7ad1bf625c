"""What a trap is: a small module, a plan for it, and the verdict that the numbers demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

B, S, D, V = 4, 12, 16, 32


class FunctionModule(nn.Module):
    """A module that does what a function of itself and its inputs says."""

    def __init__(self, function: Callable[..., Any], **owns: Any) -> None:
        super().__init__()
        self.function = function
        for name, value in owns.items():
            setattr(self, name, value)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


def linear(wide: int = D, *, bias: bool = True) -> nn.Linear:
    return nn.Linear(D, wide, bias=bias)


def floats() -> dict[str, Tensor]:
    return {"x": torch.empty(B, S, D)}


def tokens() -> dict[str, Tensor]:
    return {"x": torch.zeros(B, S, dtype=torch.int64)}


@dataclass
class SoundnessCase:
    """One case."""

    name: str
    module: Callable[[], nn.Module]
    verdict: str
    plan: list[str] = field(default_factory=list)
    """The rules on tp; none: the plan splits the batch alone."""
    inputs: Callable[[], dict[str, Tensor]] = floats
