"""Every operation that planc knows: importing this loads all files of rules."""

from __future__ import annotations

from planc.proof.rules import (  # noqa: F401  # each adds its rows
    activations,
    attention,
    batched,
    casts,
    concatenation,
    convolution,
    creation,
    einsum,
    embedding,
    expand,
    gather_scatter,
    images,
    indexing,
    inplace,
    losses,
    matmul,
    normalization,
    overwrite,
    permutations,
    pointwise,
    pooling,
    random_sampling,
    recurrent,
    reductions,
    roll_and_pad,
    scans,
    sorting,
    splitting,
    views,
    where,
)
from planc.proof.rules.registry import OPS, OpRow


def find_op(name: str) -> OpRow | None:
    """The row of a torch function; None: planc does not know it."""
    return OPS.get(name)
