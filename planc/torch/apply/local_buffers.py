"""This rank's slices of buffers, while the module that owns them runs. The full buffers stay in state dicts."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.distributed import ProcessGroup

from planc.ir.lowered import LoweredParam
from planc.torch.apply.dtensor_params import local_shard
from planc.torch.compat import own_buffers


class BufferSwap:
    """The sharded buffers of a module, exchanged for the rank's slices and back. It is used as a `ParamSwap` is."""

    def __init__(self, module: nn.Module, layouts: Mapping[str, LoweredParam], group: ProcessGroup) -> None:
        self.module, self.layouts = module, dict(layouts)
        self.rank, self.ranks = group.rank(), group.size()
        self.installed = False
        """Whether the slices are in the buffers' places."""
        self._full: dict[str, Tensor] = {}

    def install(self) -> None:
        """Put the slices in the buffers' places."""
        buffers, self.installed = own_buffers(self.module), True
        for name, layout in self.layouts.items():
            full = buffers.get(name)
            if full is not None:
                self._full[name] = full
                buffers[name] = local_shard(full, layout, self.rank, self.ranks)

    def restore(self) -> None:
        """Put the full buffers back."""
        own_buffers(self.module).update(self._full)
        self._full, self.installed = {}, False
