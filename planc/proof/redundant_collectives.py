"""Plans that are right, and communicate more than they need to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from planc.ir.graph import TensorInfo
from planc.proof.result import (
    Analysis,
    CollectiveEvent,
    CollectiveKind,
    Direction,
    GatheredLogits,
    GatherThenSlice,
    RedundantCollective,
    RepeatedGather,
)

_GATHERS = ("all_gather", "all_reduce", "reduce_scatter")


def repeated_gathers(collectives: Sequence[CollectiveEvent]) -> Iterator[RedundantCollective]:
    """Modules that each gather one tensor of their caller, where one gather would do."""
    groups: dict[tuple[int, CollectiveKind, Direction], list[CollectiveEvent]] = {}
    for event in collectives:
        if event.is_input and event.kind in _GATHERS:
            groups.setdefault((event.tensor, event.kind, event.direction), []).append(event)
    reported: set[int] = set()
    for (number, kind, direction), group in groups.items():
        if len(group) < 2 or number in reported:
            continue
        reported.add(number)
        rules = list({id(m.rule): m.rule for m in group if m.rule is not None}.values())
        saved = (len(group) - 1) * group[0].bytes
        redundancy = RepeatedGather(len(group), kind, direction, saved)
        yield RedundantCollective(redundancy, group[0].module, rules[0], tuple(rules[1:]))


def gather_then_slice(
    collectives: Sequence[CollectiveEvent], gathered: Mapping[int, CollectiveEvent], sliced: Mapping[int, int]
) -> Iterator[RedundantCollective]:
    """Values that are gathered at one module's output and sliced along the same dim at the next one's input.

    Args:
        collectives: all collectives of the caller's boundaries.
        gathered: the gathers at outputs, by the caller's tensor.
        sliced: the dim along which an input slices the caller's tensor.
    """
    for number, dim in sliced.items():
        event = gathered.get(number)
        if event is not None and event.dim == dim:
            other = next((m.rule for m in collectives if m.tensor == number and m.rule is not None), None)
            others = () if other is None or other is event.rule else (other,)
            redundancy = GatherThenSlice(dim, event.bytes)
            yield RedundantCollective(redundancy, event.module, event.rule, others)


def logits_gathers(top: Analysis, logits: TensorInfo) -> Iterator[RedundantCollective]:
    """Logits that are gathered over the vocabulary."""
    for path, outcome in top.walk():
        for event in outcome.collectives:
            last = len(event.shape) - 1
            if (event.kind, event.shape, event.dim) == (
                "all_gather",
                logits.shape,
                last,
            ) and not event.is_input:
                module = f"{path}.{event.module}".strip(".")
                yield RedundantCollective(GatheredLogits(last, event.bytes), module, event.rule, ())
                return
