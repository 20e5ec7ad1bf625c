"""Operations that make or fill tensors with random numbers.

Where the result is sharded, each rank draws for its own slice, as dropout does. Where it is replicated, all ranks of a
tensor axis draw the same numbers: applying the plan keeps their streams alike. The ranks of an axis that splits the
batch have other streams, so that a draw there has to be one for each sample.
"""

from __future__ import annotations

from typing import Any

from planc.proof.rules.arguments import normalize_dim, rank_invariant_int, unpack_varargs
from planc.proof.rules.creation import creation_keywords, filled_type
from planc.proof.rules.einsum_rule import einsum_rule
from planc.proof.rules.inplace import inplace_type
from planc.proof.rules.operation import Operation, Unsupported
from planc.proof.rules.pointwise import broadcast_labels, broadcast_operands
from planc.proof.rules.registry import add_rows, always, op_rule
from planc.proof.rules.saved_tensors import saves_nothing
from planc.proof.types import CONSTANT, PARTIAL, SAME_ON_ALL_RANKS, SpmdType


def sampled_type(operation: Operation, spmd_type: SpmdType) -> SpmdType:
    """The type of random numbers, if tensors of it can be drawn.

    Raises:
        Unsupported: ranks may draw other numbers where they need the same, or the same where they need others.
    """
    if operation.keywords.get("generator") is not None:
        raise Unsupported(f"{operation.name} draws from a generator of the code's own")
    if spmd_type in SAME_ON_ALL_RANKS and operation.splits_batch:
        raise Unsupported(
            f"{operation.name} draws numbers that are not those of a sample: each rank draws other ones"
        )
    return spmd_type


@op_rule(
    "rand", "randn", accepts_rank_dependent=True, saves=saves_nothing, uses_rng=always, writes="all",
    may_alias=False,
)  # fmt: skip
def random_rule(operation: Operation) -> SpmdType:
    """(2, 3) -> a tensor of that shape"""
    given = creation_keywords(operation, "size", "generator")
    sizes = (given["size"],) if "size" in given else operation.arguments
    return sampled_type(operation, filled_type(unpack_varargs(sizes), operation))


@op_rule(
    "randint", accepts_rank_dependent=True, saves=saves_nothing, uses_rng=always, writes="all", may_alias=False,
)  # fmt: skip
def randint_rule(operation: Operation) -> SpmdType:
    """the bounds, or the upper one, and the sizes (2, 3) -> a tensor of that shape"""
    given = creation_keywords(operation, "size", "generator", "low", "high")
    sizes = given["size"] if "size" in given else operation.arguments[-1]
    bounds = operation.arguments if "size" in given else operation.arguments[:-1]
    for bound in (*bounds, given.get("low", 0), given.get("high", 0)):
        rank_invariant_int(bound)
    return sampled_type(operation, filled_type(sizes, operation))


@op_rule("rand_like", "randn_like", "randint_like", saves=saves_nothing, uses_rng=always, writes="all", may_alias=False)  # fmt: skip
def random_like_rule(operation: Operation) -> SpmdType:
    """x (a, b) -> a tensor of that shape"""
    creation_keywords(operation, "generator", "low", "high")
    (x,) = operation.operands()
    return sampled_type(operation, CONSTANT if x.type in (*SAME_ON_ALL_RANKS, PARTIAL) else x.type)


@op_rule("bernoulli", "poisson", "normal", saves=saves_nothing, uses_rng=always, may_alias=False)
def random_of_entries_rule(operation: Operation) -> SpmdType:
    """tensors of parameters that broadcast -> as the largest"""
    if not operation.operands():
        raise Unsupported(f"the rule of {operation.name} expects a tensor")
    return sampled_type(operation, einsum_rule(*broadcast_operands(operation)))


@op_rule("multinomial", saves=saves_nothing, uses_rng=always, may_alias=False)
def multinomial_rule(operation: Operation) -> SpmdType:
    """probabilities (b, n), a count m -> (b, m): positions along the last dim"""
    x = operation.operands()[0]
    dims = tuple(range(x.ndim))
    along = (normalize_dim(-1, x.ndim),)
    return sampled_type(operation, einsum_rule([(x, dims)], dims, need_replication=along, use="positions"))


@op_rule(
    "bernoulli_", "normal_", "uniform_", "exponential_", "random_", "geometric_", "trunc_normal_",
    "log_normal_", "cauchy_", saves=saves_nothing, uses_rng=always, writes="all",
)  # fmt: skip
def fill_random_rule(operation: Operation) -> SpmdType:
    """target (a, b), parameters, of which a tensor broadcasts -> target (a, b), which keeps its type"""
    target, *parameters = operation.operands()
    if target.type is PARTIAL:
        raise Unsupported(f"{operation.name} fills a tensor that is partial")
    shape: Any = operation.results[0].shape
    if not parameters:
        return sampled_type(operation, inplace_type(operation, target.type))
    dims = tuple(range(len(shape)))
    operands = [(operand, broadcast_labels(operand, shape)) for operand in (target, *parameters)]
    return sampled_type(operation, inplace_type(operation, einsum_rule(operands, dims)))


@op_rule("gumbel_softmax", uses_rng=always)
def gumbel_softmax_rule(operation: Operation) -> SpmdType:
    """logits (..., dim, ...) -> as logits"""
    x, _, _, _, dim = operation.bind_arguments("logits", tau=1, hard=False, eps=1e-10, dim=-1)
    dims = tuple(range(x.ndim))
    along = (normalize_dim(dim, x.ndim),)
    return sampled_type(operation, einsum_rule([(x, dims)], dims, need_replication=along, use="softmax"))


add_rows("randperm", "binomial", uses_rng=always, writes="all", may_alias=False)
add_rows("rrelu", "rrelu_", "fractional_max_pool2d", "fractional_max_pool3d", uses_rng=always)
