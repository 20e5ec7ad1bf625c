"""Small numbers that divide as large ones do."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from math import gcd, lcm


def smallest_equivalent(
    number: int, ranks: int, least: int, *, step: int = 1, avoid: Collection[int] = ()
) -> int:
    """The smallest number from `least` on that as many of the parts divide, and that is even or odd as this
    one is; the number itself, where it is small already.

    Args:
        parts: what a mesh divides by, with all that divides it.
        step: what divides the result; its own affair if it does not divide the number.
        avoid: what it must not be.
    """
    ranks = lcm(ranks, 2)
    for small in range(max(least, 1), number):
        if small % step == 0 and small not in avoid and gcd(small, ranks) == gcd(number, ranks):
            return small
    return number


def largest_head_divisor(counts: Iterable[int], ranks: int) -> int:
    """The largest divisor of counts of heads that leaves them divided as they were, and leaves a rank
    more than one wherever it had more: a dim of 1 is broadcast, and hides what is wrong."""
    counts = [count for count in counts if count > 1]
    return next(
        by
        for by in range(min(counts, default=1), 0, -1)
        if all(_keeps_divisibility(c, by, ranks) for c in counts)
    )


def _keeps_divisibility(count: int, divisor: int, ranks: int) -> bool:
    small, share = count // divisor, gcd(count, ranks)
    return count % divisor == 0 and gcd(small, ranks) == share and small >= min(count, 2 * max(share, 2))


def shrink_experts(count: int, groups: int, ranks: int) -> tuple[int, int]:
    """Fewer experts and groups of them."""
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
