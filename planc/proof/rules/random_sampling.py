"""Operations that draw numbers, or count them."""

from __future__ import annotations

from planc.proof.rules.arguments import as_operand
from planc.proof.rules.operation import Operation, RuleViolation, Unsupported
from planc.proof.rules.registry import always, op_rule
from planc.proof.rules.saved_tensors import saves_nothing
from planc.proof.types import CONSTANT, PARTIAL, SAME_ON_ALL_RANKS, SpmdType
from planc.proof.violations import PartialOperand


@op_rule("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "normal", "bernoulli",
      "multinomial", "poisson", "normal_", "uniform_", "bernoulli_", "exponential_", "random_", "geometric_",
      "trunc_normal_", accepts_rank_dependent=True, uses_rng=always)  # fmt: skip
def random_rule(operation: Operation) -> SpmdType:
    """Random numbers: whether the ranks draw the same ones, their seeds decide"""
    raise Unsupported(
        f"{operation.name} draws random numbers: whether every rank draws the same ones is not known"
    )


@op_rule("histc", "bincount", saves=saves_nothing, may_alias=False)
def histogram_rule(operation: Operation) -> SpmdType:
    """x (n) -> how many of its numbers fall in each bin"""
    for x in operation.operands():
        if as_operand(x).type is PARTIAL:
            raise RuleViolation(PartialOperand("histogram"))
        if x.type not in SAME_ON_ALL_RANKS:
            raise Unsupported("numbers are counted of which each rank has some")
    return CONSTANT
