"""Outcomes as rows of a table, and whether all rivals computed the same losses."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from rivals.contest import Failure, Measured, Outcome
from rivals.setting import Setting

HEAD = f"{'':<17}{'':<9}{'tokens':>7}  {'':<10}{'ms a step':>10}{'tokens/s/rank':>15}{'peak GiB':>10}{'ratio':>8}  losses"
LOSS_TOLERANCE = {"torch.bfloat16": 2**-7, "torch.float32": 1e-4}
"""How much losses may differ, relative to the first loss: one unit in the last place of bfloat16."""


@dataclass(frozen=True)
class Row:
    """One rival at one setting with batches of one size."""

    way: str
    mode: str
    tokens: int  # on each data rank
    rival: str
    milliseconds: float  # a step: the median of all rounds
    tokens_per_second: float  # on each rank
    peak_gib: float | None  # on the rank with the highest peak; None: unknown on this device
    ratio: float  # its time divided by the time of `against`: the median over rounds
    apart: float  # the largest difference of a loss from that of `against`, relative to the first loss
    first_loss: float
    last_loss: float
    agrees: bool
    against: str  # the first rival that did not fail: planc, if it takes part

    def line(self) -> str:
        """The row as text."""
        peak = "-" if self.peak_gib is None else f"{self.peak_gib:.2f}"
        learned = f"{self.first_loss:.3f} to {self.last_loss:.3f}"
        difference = f", apart {self.apart:.1e}" + " WRONG" * (not self.agrees)
        return (
            f"{self.way:<17}{self.mode:<9}{self.tokens:>7}  {self.rival:<10}{self.milliseconds:>10.2f}"
            f"{self.tokens_per_second:>15,.0f}{peak:>10}{self.ratio:>8.2f}  {learned}"
            f"{'' if self.rival == self.against else difference}"
        )


@dataclass(frozen=True)
class FailedRow:
    """A rival that raised at one setting, with batches of this size or of an earlier one."""

    way: str
    mode: str
    tokens: int
    rival: str
    raised: str

    def line(self) -> str:
        """The row as text."""
        error = self.raised.strip().partition("\n")[0][:200]
        return f"{self.way:<17}{self.mode:<9}{self.tokens:>7}  {self.rival:<10}  {error}"


def make_rows(setting: Setting, tokens: int, outcomes: Mapping[str, Outcome]) -> list[Row | FailedRow]:
    """The rows of one contest. The first rival that did not fail is the one that others are compared with."""
    against = next((name for name, each in outcomes.items() if isinstance(each, Measured)), "")
    return [
        FailedRow(setting.name, setting.mode, tokens, name, each.error)
        if isinstance(each, Failure)
        else _row(setting, tokens, name, each, against, outcomes[against])
        for name, each in outcomes.items()
    ]


def _row(setting: Setting, tokens: int, name: str, own: Measured, against: str, first: Outcome) -> Row:
    assert isinstance(first, Measured)
    seconds = statistics.median(each.seconds for each in own.rounds)
    ratio = statistics.median(
        a.seconds / b.seconds for a, b in zip(own.rounds, first.rounds, strict=True)
    )  # fmt: skip
    apart = max(abs(a - b) for a, b in zip(own.losses, first.losses, strict=True)) / first.losses[0]
    return Row(
        setting.name, setting.mode, tokens, name, seconds * 1e3,
        tokens * setting.dp / seconds / (setting.dp * setting.tp),
        own.peak / 2**30 if setting.device.type == "cuda" else None,
        ratio, apart, own.losses[0], own.losses[-1], apart <= LOSS_TOLERANCE[str(setting.compute_dtype)], against,
    )  # fmt: skip


def rows_as_dicts(rows: Sequence[Row | FailedRow]) -> list[dict[str, object]]:
    """The rows, for JSON."""
    return [asdict(row) for row in rows]
