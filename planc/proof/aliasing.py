"""Memory that a boundary has copied.

Names of one tensor share its memory: what is written to one is found in the others. A boundary that
changes a layout gives a copy, and nothing that is written to that is found elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planc.ir.graph import ModelGraph, Op, Value
from planc.proof.result import AbstractValue
from planc.proof.rules import OpRule
from planc.proof.style_assumptions import iter_tensor_references

_FRESH = tuple(
    f"planc.proof.rules.{family}" for family in ("matmul", "convolution", "normalization", "attention")
)
"""Families whose results lie in memory of their own."""

ALIAS_BROKEN = (
    "it writes to memory that a boundary has copied: other names of it are not changed in the split model"
)


def has_live_aliases(graph: ModelGraph) -> bool:
    """Whether anything is written to a tensor that has other names, and these are used."""
    return any(isinstance(s, Op) and s.name == "aliased" for f in graph.functions for s in f.steps)


def may_alias_copy(step: Op, held: Sequence[AbstractValue], rules: Mapping[str, OpRule]) -> bool:
    """Whether what an operation gives may lie in memory that a boundary has copied."""
    rule = rules.get(step.name)
    if rule is not None and rule.infer.__module__ in _FRESH:
        return False
    every = iter_tensor_references((step.arguments, *step.keywords.values()))
    return any(held[item.number].copied for item in every if isinstance(item, Value))
