"""Memory that a boundary has copied.

Names of one tensor share its memory: what is written to one is found in the others. A boundary that
changes a layout gives a copy, and nothing that is written to that is found elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planc.ir.graph import ModelGraph, Op, Value
from planc.layouts.ops import Rule
from planc.layouts.outcome import Held
from planc.layouts.straight import items

_FRESH = tuple(f"planc.layouts.ops.{family}" for family in ("products", "convolution", "norms", "attention"))
"""Families whose results lie in memory of their own."""

PARTED = (
    "it writes to memory that a boundary has copied: other names of it are not changed in the split model"
)


def is_shared(graph: ModelGraph) -> bool:
    """Whether anything is written to a tensor that has other names, and these are used."""
    return any(isinstance(s, Op) and s.name == "aliased" for f in graph.functions for s in f.steps)


def is_copied(step: Op, held: Sequence[Held], rules: Mapping[str, Rule]) -> bool:
    """Whether what an operation gives may lie in memory that a boundary has copied."""
    rule = rules.get(step.name)
    if rule is not None and rule.judge.__module__ in _FRESH:
        return False
    every = items((step.arguments, *step.keywords.values()))
    return any(held[item.number].copied for item in every if isinstance(item, Value))
