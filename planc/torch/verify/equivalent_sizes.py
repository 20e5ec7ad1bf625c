"""Small sizes that are divisible as large ones are."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import gcd, lcm


def smallest_equivalent(
    number: int, ranks: int, least: int, *, step: int = 1, avoid: Collection[int] = ()
) -> int:
    """The smallest size with the same greatest common divisor with `ranks`, and the same parity, as a large one.

    Args:
        number: the large size; returned where no smaller one qualifies.
        ranks: how many ranks divide dims.
        least: the result is not smaller than this.
        step: a divisor of the result; it need not divide `number`.
        avoid: sizes that the result must differ from.
    """
    ranks = lcm(ranks, 2)
    for small in range(max(least, 1), number):
        if small % step == 0 and small not in avoid and gcd(small, ranks) == gcd(number, ranks):
            return small
    return number


def largest_head_divisor(counts: Iterable[int], ranks: int) -> int:
    """The largest number by which all counts of heads can be divided, such that they stay divisible by the ranks as
    they were, and each rank keeps more than one head where it had more: a dim of 1 broadcasts, which
    hides errors.

    Args:
        counts: of heads, of heads of keys and values, ...
        ranks: how many ranks divide dims.
    """
    counts = [count for count in counts if count > 1]
    return next(
        divisor
        for divisor in range(min(counts, default=1), 0, -1)
        if all(_keeps_divisibility(count, divisor, ranks) for count in counts)
    )


def _keeps_divisibility(count: int, divisor: int, ranks: int) -> bool:
    small, shared = count // divisor, gcd(count, ranks)
    return count % divisor == 0 and gcd(small, ranks) == shared and small >= min(count, 2 * max(shared, 2))


def shrink_experts(count: int, groups: int, ranks: int) -> tuple[int, int]:
    """Fewer experts, and fewer groups of them; equal to the given numbers where there are no smaller ones."""
    few = groups if groups <= 2 else smallest_equivalent(groups, ranks, 2)
    if groups % few:
        few = groups
    small = next(
        (
            n
            for n in range(max(4, 2 * few), count)
            if count % n == 0 and n % few == 0 and gcd(n, ranks) == gcd(count, ranks)
        ),
        count,
    )
    return small, few
