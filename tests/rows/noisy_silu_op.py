"""An operation that planc does not have, in one file with one row: silu plus noise, of the input's shape and type."""

from __future__ import annotations

from planc.proof.rules.einsum_rule import einsum_rule
from planc.proof.rules.operation import Operation
from planc.proof.rules.pointwise import broadcast_operands
from planc.proof.rules.registry import OPS, always, op_rule
from planc.proof.rules.saved_tensors import saves
from planc.proof.types import SpmdType


@op_rule("noisy_silu", saves=saves(0), uses_rng=always, may_alias=False)
def noisy_silu_rule(operation: Operation) -> SpmdType:
    """x -> as x, not linear"""
    return einsum_rule(*broadcast_operands(operation))


ROW = OPS.pop("noisy_silu")
"""Tests put it back for as long as they run."""
