"""The tensors of a model that weights are loaded into, and this rank's slices of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from planc.torch.apply.local_slice import SliceBounds, local_slice
from planc.torch.apply.packed_params import PackedParam, packed_params
from planc.torch.compat import non_persistent_buffers, own_buffers, own_parameters


class LoadTarget(NamedTuple):
    """A parameter or a buffer, under all of its names."""

    names: tuple[str, ...]
    tensor: Tensor
    packed: PackedParam | None

    def local_slices(self) -> Iterator[tuple[SliceBounds, Tensor]]:
        """This rank's slices: their bounds in the full tensor in the model's order, and views of the local memory.

        A packed parameter has one slice for each part.
        """
        local = detached_local(self.tensor)
        bounds = (
            local_slice(self.tensor)
            if isinstance(self.tensor, DTensor)
            else tuple((0, size) for size in self.tensor.shape)
        )
        if self.packed is None:
            yield bounds, local
            return
        dim = self.packed.dim
        first, size = bounds[dim]
        stored = 0
        for start, length in self.packed.stored_ranges():
            low, high = max(first, stored), min(first + size, stored + length)
            if low < high:
                part = (*bounds[:dim], (start + low - stored, high - low), *bounds[dim + 1 :])
                yield part, local.narrow(dim, low - first, high - low)
            stored += length


def detached_local(tensor: Tensor) -> Tensor:
    """This rank's shard of a tensor, without gradients, in the same memory."""
    with torch.no_grad():
        return tensor.to_local() if isinstance(tensor, DTensor) else tensor.detach()


def load_targets(model: nn.Module, *, all_buffers: bool = False) -> list[LoadTarget]:
    """The parameters and persistent buffers of a model, tied tensors once.

    Args:
        all_buffers: also buffers that are not persistent.
    """
    targets: dict[int, LoadTarget] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for name, tensor in _named_tensors(module, all_buffers):
            full = f"{prefix}.{name}" if prefix else name
            known = targets.get(id(tensor), LoadTarget((), tensor, packed_params(module).get(name)))
            targets[id(tensor)] = known._replace(names=(*known.names, full))
    return list(targets.values())


def _named_tensors(module: nn.Module, all_buffers: bool) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in own_parameters(module).items():
        if parameter is not None:
            yield name, parameter
    for name, buffer in own_buffers(module).items():
        if buffer is not None and (all_buffers or name not in non_persistent_buffers(module)):
            yield name, buffer
