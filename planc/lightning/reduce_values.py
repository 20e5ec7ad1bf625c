"""Numbers of all ranks in one, where the ranks of a tensor group hold the same."""

from __future__ import annotations

from typing import Any

from lightning.fabric.utilities.distributed import _sync_ddp_if_available
from torch import Tensor
from torch.distributed import ReduceOp
from torch.distributed.device_mesh import DeviceMesh

from planc.torch.apply.full_tensor import full_tensor


def reduce_over_ranks(value: Any, mesh: DeviceMesh, reduce_op: ReduceOp | str | None) -> Any:
    """One number of all ranks, bit for bit the same on each. A sum counts a tensor group once.

    Args:
        value: a tensor of any shape, split or not; what is no tensor is given back.
        mesh: Lightning's two axes.
        how: `sum`, or what else Lightning takes; None is `sum`, as there.
    """
    if not isinstance(value, Tensor):
        return value
    made = _sync_ddp_if_available(full_tensor(value), None, reduce_op=reduce_op)
    sums = reduce_op is None or (
        reduce_op.lower() == "sum" if isinstance(reduce_op, str) else ReduceOp(ReduceOp.SUM) == reduce_op
    )
    # In place, as Lightning does it. A sum of whole numbers is a multiple of the group's size.
    return made.copy_(made / mesh["tensor_parallel"].size()) if sums else made
