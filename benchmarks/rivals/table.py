"""What was found, as lines of a table, and whether all rivals learned the same."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from rivals.contest import Found
from rivals.setting import Setting

HEAD = f"{'':<17}{'':<9}{'tokens':>7}  {'':<10}{'ms a step':>10}{'tokens/s/rank':>15}{'peak GiB':>10}{'ratio':>8}  losses"
ALLOWED = {"torch.bfloat16": 2**-7, "torch.float32": 1e-4}
"""How far losses may be apart, as a part of the first loss: one unit in the last place of bfloat16."""


@dataclass(frozen=True)
class Row:
    """One rival at one setting with batches of one size."""

    way: str
    mode: str
    tokens: int  # on each data rank
    rival: str
    milliseconds: float  # a step: the median of all rounds
    tokens_per_second: float  # on each rank
    peak_gib: float | None  # on the rank that uses most; None: not known on this device
    ratio: float  # its time by planc's, the median of the ratios of rounds: above 1, planc is faster
    apart: float  # the most that a loss differs from planc's, as a part of the first loss
    first_loss: float
    last_loss: float
    agrees: bool

    def line(self) -> str:
        """The row as text."""
        peak = "-" if self.peak_gib is None else f"{self.peak_gib:.2f}"
        learned = f"{self.first_loss:.3f} to {self.last_loss:.3f}"
        judged = "" if self.rival == "planc" else f", apart {self.apart:.1e}" + " WRONG" * (not self.agrees)
        return (
            f"{self.way:<17}{self.mode:<9}{self.tokens:>7}  {self.rival:<10}{self.milliseconds:>10.2f}"
            f"{self.tokens_per_second:>15,.0f}{peak:>10}{self.ratio:>8.2f}  {learned}{judged}"
        )


def rows(setting: Setting, tokens: int, found: Mapping[str, Found]) -> list[Row]:
    """The rows of one contest. Its first rival is the one that others are compared with."""
    ours = next(iter(found.values()))
    return [_row(setting, tokens, name, each, ours) for name, each in found.items()]


def _row(setting: Setting, tokens: int, name: str, found: Found, ours: Found) -> Row:
    seconds = statistics.median(each.seconds for each in found.rounds)
    ratio = statistics.median(
        a.seconds / b.seconds for a, b in zip(found.rounds, ours.rounds, strict=True)
    )  # fmt: skip
    apart = max(abs(a - b) for a, b in zip(found.losses, ours.losses, strict=True)) / ours.losses[0]
    return Row(
        setting.name, setting.mode, tokens, name, seconds * 1e3,
        tokens * setting.dp / seconds / (setting.dp * setting.tp),
        found.peak / 2**30 if setting.device.type == "cuda" else None,
        ratio, apart, found.losses[0], found.losses[-1], apart <= ALLOWED[str(setting.low)],
    )  # fmt: skip


def data(rows: list[Row]) -> list[dict[str, object]]:
    """The rows for a file."""
    return [asdict(row) for row in rows]
