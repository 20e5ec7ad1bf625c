"""Operations on images and other grids: they mix places, and leave the samples of the batch apart."""

from __future__ import annotations

from planc.proof.rules.einsum_rule import einsum_rule
from planc.proof.rules.operation import Operand, Operation, Unsupported
from planc.proof.rules.registry import op_rule
from planc.proof.types import Sharded, SpmdType


def _tensor(operation: Operation) -> Operand:
    x = operation.arguments[0] if operation.arguments else operation.keywords.get("input")
    if not isinstance(x, Operand):
        raise Unsupported(f"the rule of {operation.name} expects a tensor")
    return x


@op_rule("interpolate", may_alias=False)
def interpolate_rule(operation: Operation) -> SpmdType:
    """x (b, c, *spatial) -> (b, c, *other); every mode is linear"""
    x = _tensor(operation)
    dims = tuple(range(x.ndim))
    return einsum_rule([(x, dims)], dims, need_replication=dims[2:], use="resampling", linear_in=(0,))


@op_rule("grid_sample", may_alias=False)
def grid_sample_rule(operation: Operation) -> SpmdType:
    """x (b, c, *spatial), grid (b, *places, coordinates) -> (b, c, *places); linear in x"""
    x, grid, *_ = operation.bind_arguments(
        "input", "grid", mode="bilinear", padding_mode="zeros", align_corners=None
    )
    if not isinstance(x, Operand) or not isinstance(grid, Operand):
        raise Unsupported("the rule of grid_sample expects two tensors")
    spatial = tuple(f"x{d}" for d in range(x.ndim - 2))
    places = tuple(f"place {d}" for d in range(grid.ndim - 2))
    return einsum_rule(
        [(x, ("b", "c", *spatial)), (grid, ("b", *places, "coordinates"))],
        ("b", "c", *places),
        need_replication=(*spatial, "coordinates"),
        use="resampling",
        linear_in=(0,),
    )


@op_rule("pixel_shuffle", "pixel_unshuffle", may_alias=False)
def pixel_shuffle_rule(operation: Operation) -> SpmdType:
    """x (..., c, h, w) -> (..., c / r^2, h * r, w * r), or the other way round; consecutive entries stay together"""
    x = _tensor(operation)
    dims = tuple(range(x.ndim))
    needed = [dim for dim in dims[-3:] if not _is_divided(x, dim, operation)]
    return einsum_rule([(x, dims)], dims, need_replication=needed, use="resampling", linear_in=(0,))


def _is_divided(x: Operand, dim: int, operation: Operation) -> bool:
    """Whether ranks that have consecutive entries of a dim make equal parts of the result's."""
    return isinstance(x.type, Sharded) and operation.results[0].shape[dim] % operation.ranks == 0


@op_rule("channel_shuffle", may_alias=False)
def channel_shuffle_rule(operation: Operation) -> SpmdType:
    """x (b, c, *spatial) -> as x"""
    x = _tensor(operation)
    dims = tuple(range(x.ndim))
    return einsum_rule([(x, dims)], dims, need_replication=dims[1:2], use="resampling", linear_in=(0,))


@op_rule("fold", may_alias=False)
def fold_rule(operation: Operation) -> SpmdType:
    """x (b, c * window, blocks) -> (b, c, *spatial), sums of overlapping blocks; a channel's entries are consecutive"""
    x = _tensor(operation)
    if x.ndim != 3:
        raise Unsupported("the rule of fold expects a batch")
    result = ("b", "c", *(f"y{d}" for d in range(len(operation.results[0].shape) - 2)))
    return einsum_rule(
        [(x, ("b", "c", "block"))],
        result,
        need_replication=("block",) if _is_divided(x, 1, operation) else ("c", "block"),
        use="resampling",
        linear_in=(0,),
    )


@op_rule("local_response_norm", may_alias=False)
def local_response_norm_rule(operation: Operation) -> SpmdType:
    """x (b, c, *spatial) -> as x; each entry depends on the channels beside its own"""
    x = _tensor(operation)
    dims = tuple(range(x.ndim))
    return einsum_rule([(x, dims)], dims, need_replication=dims[1:2], use="normalization")
