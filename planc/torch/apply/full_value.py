"""The full tensors in any value that a split model gives."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.distributed.tensor import DTensor

from planc.ir.tree import CONTAINERS, Dataclass, map_leaves
from planc.torch.apply.full_tensor import full_tensor
from planc.torch.apply.packed_params import packed_of_tensor, to_global_order
from planc.torch.apply.vocab_parallel import VocabParallelLogits


def full_value(value: Any) -> Any:
    """A value with the full tensor in place of each split one. All ranks call this.

    Args:
        value: a tensor, or tuples, lists, mappings and dataclasses of them; what is no tensor stays as it is.

    Returns:
        Of a DTensor or of split logits the full tensor, on every rank, with its gradient; of a packed parameter, and of
        its gradient, that in the model's order. Other tensors are returned as they are.
    """
    return map_leaves(value, Tensor, _full, into=(*CONTAINERS, Dataclass))


def _full(tensor: Tensor) -> Tensor:
    if isinstance(tensor, VocabParallelLogits):
        return tensor.full_tensor()
    if not isinstance(tensor, DTensor):
        return tensor
    stored, packed = full_tensor(tensor), packed_of_tensor(tensor)
    return stored if packed is None else to_global_order(stored, packed)
