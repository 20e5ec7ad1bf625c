"""Operations that make or fill tensors with random numbers."""

from __future__ import annotations

from planc.proof.rules.operation import Operation, Unsupported
from planc.proof.rules.registry import always, op_rule
from planc.proof.types import SpmdType


@op_rule(
    "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "normal", "bernoulli",
    "multinomial", "poisson", "normal_", "uniform_", "bernoulli_", "exponential_", "random_", "geometric_",
    "trunc_normal_", accepts_rank_dependent=True, uses_rng=always, writes="all",
)  # fmt: skip
def random_rule(operation: Operation) -> SpmdType:
    """Random numbers: the ranks' seeds decide whether they are the same on all ranks."""
    raise Unsupported(
        f"{operation.name} draws random numbers: all ranks may draw the same ones, or each its own"
    )
