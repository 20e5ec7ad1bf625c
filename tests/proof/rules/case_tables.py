"""Tables of cases of several rules, compared with simulated ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from planc.proof.rules.operation import Operand
from planc.proof.types import SpmdType
from tests.proof.rules.harness import Case, sweep

StrictnessReason = Callable[[Case, tuple[SpmdType, ...]], str | None]


def compare_cases(cases: Iterable[Case], ranks: int, *, min_accepted: int, known_strict: StrictnessReason = lambda _case, _types: None,
            accepted: int = 30, refused: int = 30) -> Counter[str]:  # fmt: skip
    """Sweep every case; at least so many calls must have been accepted and compared."""
    count: Counter[str] = Counter()
    for seed, case in enumerate(cases):
        own = sweep(case, ranks, seed=seed, accepted=accepted, refused=refused, known_strict=known_strict)
        assert own["accepted"], f"{case!r} is never accepted"
        count += own
    print(dict(count))
    assert count["accepted"] >= min_accepted, count
    return count


def make_operand(shape: tuple[int, ...], kind: SpmdType, dtype: str = "float32") -> Operand:
    """A tensor of that type, to which a gradient flows if it can."""
    return Operand(kind, shape, dtype.startswith("float"), dtype)
