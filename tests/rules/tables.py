"""Many cases of several rules, compared with numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from planc.layouts.operation import Operand
from planc.layouts.types import Type
from tests.rules.harness import Case, sweep

Strict = Callable[[Case, tuple[Type, ...]], str | None]


def compare(cases: Iterable[Case], ranks: int, *, least: int, strict: Strict = lambda _case, _types: None,
            accepted: int = 30, refused: int = 30) -> Counter[str]:  # fmt: skip
    """Sweep every case; at least so many calls must have been accepted and compared."""
    count: Counter[str] = Counter()
    for seed, case in enumerate(cases):
        own = sweep(case, ranks, seed=seed, accepted=accepted, refused=refused, strict=strict)
        assert own["accepted"], f"{case!r} is never accepted"
        count += own
    print(dict(count))
    assert count["accepted"] >= least, count
    return count


def operand(shape: tuple[int, ...], kind: Type, dtype: str = "float32") -> Operand:
    """A tensor of that type, to which a gradient flows if it can."""
    return Operand(kind, shape, dtype.startswith("float"), dtype)
