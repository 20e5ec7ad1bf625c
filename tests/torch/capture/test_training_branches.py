"""Which code takes another branch in eval mode."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

from torch import Tensor, nn
from torch.nn.functional import dropout

from planc.torch.capture.training_branches import branches_on_training


class Plain(nn.Module):
    p, flag, rate = 0.1, False, 0.0

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p if self.training else 0.0, self.training)


class Guarded(Plain):
    def forward(self, x: Tensor) -> Tensor:
        if self.flag and self.training:
            return x
        return x + 1 if self.training and self.rate > 0 else x - 1


class Negated(Plain):
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return x + 1


class Choice(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if self.training else x - 1


class Helper(Plain):
    def forward(self, x: Tensor) -> Tensor:
        return self._scaled(x)

    def _scaled(self, x: Tensor) -> Tensor:
        mode = self.training
        if mode:
            x = x * 2
        return x


class ByValue(Plain):
    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) > 2:
            return x
        return x + 1


def with_flag() -> nn.Module:
    made = Guarded()
    made.flag = True
    return made


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (Plain, False),
        (Guarded, False),
        (with_flag, True),
        (Negated, True),
        (Choice, True),
        (Helper, True),
        (ByValue, True),
        (lambda: nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.BatchNorm1d(2)), False),
        (lambda: nn.Sequential(nn.Linear(2, 2), Negated()), True),
    ],
)
def test_branches(make: Any, expected: bool) -> None:
    assert branches_on_training(make()) is expected
