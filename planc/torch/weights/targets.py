"""What a model wants to be loaded: tensors by name, and the slices that this rank holds of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from planc.torch.apply.boxes import Box, local_box
from planc.torch.apply.state import Fused, fused_of


class Target(NamedTuple):
    """A parameter or a buffer, under all of its names."""

    names: tuple[str, ...]
    tensor: Tensor
    fused: Fused | None

    def pieces(self) -> Iterator[tuple[Box, Tensor]]:
        """What this rank holds: where it lies in the whole in the model's order, and the place for it.

        A rank's slice of a fused parameter is several slices of the whole.
        """
        own = local(self.tensor)
        box = (
            local_box(self.tensor)
            if isinstance(self.tensor, DTensor)
            else tuple((0, size) for size in self.tensor.shape)
        )
        if self.fused is None:
            yield box, own
            return
        dim = self.fused.dim
        first, size = box[dim]
        stored = 0
        for start, length in self.fused.runs():
            low, high = max(first, stored), min(first + size, stored + length)
            if low < high:
                inner = (*box[:dim], (start + low - stored, high - low), *box[dim + 1 :])
                yield inner, own.narrow(dim, low - first, high - low)
            stored += length


def local(tensor: Tensor) -> Tensor:
    """The rank's own memory of a tensor."""
    with torch.no_grad():
        return tensor.to_local() if isinstance(tensor, DTensor) else tensor.detach()


def targets(model: nn.Module, *, everything: bool = False) -> list[Target]:
    """All that a state dict of the model shows, tied tensors once; or every buffer, too."""
    found: dict[int, Target] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for name, tensor in _own(module, everything):
            full = f"{prefix}.{name}" if prefix else name
            known = found.get(id(tensor), Target((), tensor, fused_of(module).get(name)))
            found[id(tensor)] = known._replace(names=(*known.names, full))
    return list(found.values())


def _own(module: nn.Module, everything: bool) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield name, parameter
    for name, buffer in module._buffers.items():
        if buffer is not None and (everything or name not in module._non_persistent_buffers_set):
            yield name, buffer
