"""Operations that draw numbers, or count them."""

from __future__ import annotations

from planc.layouts.arguments import tensor
from planc.layouts.operation import NotKnown, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.types import CONSTANT, PARTIAL, WHOLE, Type


@rule("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "normal", "bernoulli",
      "multinomial", "poisson", "normal_", "uniform_", "bernoulli_", "exponential_", "random_", "geometric_",
      "trunc_normal_", sizes=True)  # fmt: skip
def draws(operation: Operation) -> Type:
    """Random numbers: whether the ranks draw the same ones, their seeds decide"""
    raise NotKnown(
        f"{operation.name} draws random numbers: whether every rank draws the same ones is not known"
    )


@rule("histc", "bincount")
def counts(operation: Operation) -> Type:
    """x (n) -> how many of its numbers fall in each bin"""
    for x in operation.operands():
        if tensor(x).type is PARTIAL:
            raise Refused("partial", "the numbers of a pending sum are counted", "the sum taken first")
        if x.type not in WHOLE:
            raise NotKnown("numbers are counted of which each rank has some")
    return CONSTANT
