"""The reduction of a value over all ranks, where the ranks of a tensor group hold the same value."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.distributed import ReduceOp
from torch.distributed.device_mesh import DeviceMesh

from planc.lightning import compat
from planc.torch.apply.full_tensor import full_tensor


def reduce_over_ranks(value: Any, mesh: DeviceMesh, reduce_op: ReduceOp | str | None) -> Any:
    """Reduce a value over all ranks, to the same bits on each. A sum counts a tensor group once. All ranks
    call this.

    Args:
        value: a tensor of any shape, split or not; anything else is returned as it is.
        mesh: Lightning's mesh, with an axis `tensor_parallel`.
        reduce_op: `sum`, `mean` or another one that Lightning takes; None means `sum`, as it does there.

    Returns:
        A plain tensor of the full shape of the value.
    """
    if not isinstance(value, Tensor):
        return value
    reduced = compat.reduce_tensor(full_tensor(value), None, reduce_op=reduce_op)
    if not _is_sum(reduce_op):
        return reduced
    # In place, as Lightning does it. A sum of integers is a multiple of the group's size.
    return reduced.copy_(reduced / mesh["tensor_parallel"].size())


def _is_sum(reduce_op: ReduceOp | str | None) -> bool:
    if isinstance(reduce_op, str):
        return reduce_op.lower() == "sum"
    return reduce_op is None or bool(ReduceOp(ReduceOp.SUM) == reduce_op)
