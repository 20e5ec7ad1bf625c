"""Plans that are right, and communicate more than they need to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from planc.ir.graph import TensorInfo
from planc.proof.result import Analysis, CollectiveEvent, RedundantCollective

_GATHERS = ("all_gather", "all_reduce", "reduce_scatter")


def repeated_gathers(moves: Sequence[CollectiveEvent]) -> Iterator[RedundantCollective]:
    """Modules that each bring one tensor of their caller together, where once would do."""
    groups: dict[tuple[int, str, str], list[CollectiveEvent]] = {}
    for move in moves:
        if move.is_input and move.kind in _GATHERS:
            groups.setdefault((move.tensor, move.kind, move.direction), []).append(move)
    said: set[int] = set()
    for (number, kind, direction), group in groups.items():
        if len(group) < 2 or number in said:
            continue
        said.add(number)
        rules = list({id(m.rule): m.rule for m in group if m.rule is not None}.values())
        spared = (len(group) - 1) * group[0].bytes
        yield RedundantCollective(
            "repeated",
            group[0].module,
            f"{len(group)} modules take the same value, each with its own {kind} in the {direction} pass",
            f"bring it together once, at the module around them, with inputs(... -> replicate): "
            f"{spared:,} bytes less each time",
            rules[0],
            tuple(rules[1:]),
        )


def gather_then_slice(
    collectives: Sequence[CollectiveEvent], gathered: Mapping[int, CollectiveEvent], sliced: Mapping[int, int]
) -> Iterator[RedundantCollective]:
    """Values that are gathered at one module's output and cut along the same dim at the next one's input.

    Args:
        gathered: the gathers at outputs, by the caller's tensor.
        cut: the dim along which a tensor is cut at an input.
    """
    for number, dim in sliced.items():
        move = gathered.get(number)
        if move is not None and move.dim == dim:
            other = next((m.rule for m in collectives if m.tensor == number and m.rule is not None), None)
            yield RedundantCollective(
                "undone",
                move.module,
                f"all_gather along dim {dim}, {move.bytes:,} bytes, and the next module takes its slice again",
                f"leave it as shard({dim}), and let the next module take that",
                move.rule,
                () if other is None or other is move.rule else (other,),
            )


def logits_gathers(top: Analysis, logits: TensorInfo) -> Iterator[RedundantCollective]:
    """Logits that are gathered over the vocabulary."""
    for path, outcome in top.walk():
        for move in outcome.collectives:
            last = len(move.shape) - 1
            if (move.kind, move.shape, move.dim) == ("all_gather", logits.shape, last) and not move.is_input:
                yield RedundantCollective(
                    "logits",
                    f"{path}.{move.module}".strip("."),
                    f"all_gather of {move.bytes:,} bytes",
                    f"let them leave as shard({last}), and say 'loss vocab_parallel'",
                    move.rule,
                    (),
                )
                return
