"""What was found, as lines of a table, and whether all rivals learned the same."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from rivals.contest import Found, Outcome, Raised
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
    ratio: float  # its time by that of `against`, the median of the ratios of rounds
    apart: float  # the most that a loss differs from that of `against`, as a part of the first loss
    first_loss: float
    last_loss: float
    agrees: bool
    against: str  # the first rival that got through: planc, unless it raised or takes no part

    def line(self) -> str:
        """The row as text."""
        peak = "-" if self.peak_gib is None else f"{self.peak_gib:.2f}"
        learned = f"{self.first_loss:.3f} to {self.last_loss:.3f}"
        judged = f", apart {self.apart:.1e}" + " WRONG" * (not self.agrees)
        return (
            f"{self.way:<17}{self.mode:<9}{self.tokens:>7}  {self.rival:<10}{self.milliseconds:>10.2f}"
            f"{self.tokens_per_second:>15,.0f}{peak:>10}{self.ratio:>8.2f}  {learned}"
            f"{'' if self.rival == self.against else judged}"
        )


@dataclass(frozen=True)
class Lost:
    """A rival that raised at one setting with batches of one size, or of the size before."""

    way: str
    mode: str
    tokens: int
    rival: str
    raised: str

    def line(self) -> str:
        """The row as text."""
        why = self.raised.strip().partition("\n")[0][:200]
        return f"{self.way:<17}{self.mode:<9}{self.tokens:>7}  {self.rival:<10}  {why}"


def rows(setting: Setting, tokens: int, outcomes: Mapping[str, Outcome]) -> list[Row | Lost]:
    """The rows of one contest. The first rival that got through is the one that others are compared with."""
    against = next((name for name, each in outcomes.items() if isinstance(each, Found)), "")
    return [
        Lost(setting.name, setting.mode, tokens, name, each.why)
        if isinstance(each, Raised)
        else _row(setting, tokens, name, each, against, outcomes[against])
        for name, each in outcomes.items()
    ]


def _row(setting: Setting, tokens: int, name: str, found: Found, against: str, first: Outcome) -> Row:
    assert isinstance(first, Found)
    seconds = statistics.median(each.seconds for each in found.rounds)
    ratio = statistics.median(
        a.seconds / b.seconds for a, b in zip(found.rounds, first.rounds, strict=True)
    )  # fmt: skip
    apart = max(abs(a - b) for a, b in zip(found.losses, first.losses, strict=True)) / first.losses[0]
    return Row(
        setting.name, setting.mode, tokens, name, seconds * 1e3,
        tokens * setting.dp / seconds / (setting.dp * setting.tp),
        found.peak / 2**30 if setting.device.type == "cuda" else None,
        ratio, apart, found.losses[0], found.losses[-1], apart <= ALLOWED[str(setting.low)], against,
    )  # fmt: skip


def data(rows: Sequence[Row | Lost]) -> list[dict[str, object]]:
    """The rows for a file."""
    return [asdict(row) for row in rows]
