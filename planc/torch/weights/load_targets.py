"""What a model wants to be loaded: tensors by name, and the slices that this rank holds of them."""

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
        """What this rank holds: where it lies in the whole in the model's order, and the place for it.

        A rank's slice of a fused parameter is several slices of the whole.
        """
        own = local_tensor(self.tensor)
        box = (
            local_slice(self.tensor)
            if isinstance(self.tensor, DTensor)
            else tuple((0, size) for size in self.tensor.shape)
        )
        if self.packed is None:
            yield box, own
            return
        dim = self.packed.dim
        first, size = box[dim]
        stored = 0
        for start, length in self.packed.stored_ranges():
            low, high = max(first, stored), min(first + size, stored + length)
            if low < high:
                inner = (*box[:dim], (start + low - stored, high - low), *box[dim + 1 :])
                yield inner, own.narrow(dim, low - first, high - low)
            stored += length


def local_tensor(tensor: Tensor) -> Tensor:
    """The rank's own memory of a tensor."""
    with torch.no_grad():
        return tensor.to_local() if isinstance(tensor, DTensor) else tensor.detach()


def load_targets(model: nn.Module, *, all_buffers: bool = False) -> list[LoadTarget]:
    """All that a state dict of the model shows, tied tensors once; or every buffer, too."""
    found: dict[int, LoadTarget] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for name, tensor in _named_tensors(module, all_buffers):
            full = f"{prefix}.{name}" if prefix else name
            known = found.get(id(tensor), LoadTarget((), tensor, packed_params(module).get(name)))
            found[id(tensor)] = known._replace(names=(*known.names, full))
    return list(found.values())


def _named_tensors(module: nn.Module, all_buffers: bool) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in own_parameters(module).items():
        if parameter is not None:
            yield name, parameter
    for name, buffer in own_buffers(module).items():
        if buffer is not None and (all_buffers or name not in non_persistent_buffers(module)):
            yield name, buffer
