"""Windows of images and sounds, each made one number."""

from __future__ import annotations

from planc.layouts.factors import shared
from planc.layouts.operation import NotKnown, Operand, Operation
from planc.layouts.ops import rule
from planc.layouts.types import Type

_DIMS = ("1d", "2d", "3d")


@rule(*(f"{kind}_pool{dims}" for kind in ("avg", "max", "adaptive_avg", "adaptive_max") for dims in _DIMS))
def pool(operation: Operation) -> Type:
    """x (..., *places) -> (..., *fewer places); a mean is linear"""
    x = operation.arguments[0] if operation.arguments else operation.keywords.get("input")
    if not isinstance(x, Operand):
        raise NotKnown(f"{operation.name} takes one tensor")
    dims = tuple(range(x.ndim))
    places = dims[x.ndim - int(operation.name[-2]) :]
    linear = (0,) if "avg" in operation.name else ()
    return shared([(x, dims)], dims, fixed=places, linear=linear, why="windows along that dim are pooled")
