"""Buffers that the second run of a region finds as the first did, and leaves as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from planc.torch.compat import own_buffers

BufferSlot = tuple[nn.Module, str]
"""A module, and the name of a buffer of its own."""


def buffer_slots(model: nn.Module, names: Iterable[str]) -> list[BufferSlot]:
    """The slots of buffers, by their dotted names in a model."""
    parts = [name.rpartition(".") for name in names]
    return [(model.get_submodule(module), own) for module, _, own in parts]


def preserve_buffers(forward: Callable[..., Any], slots: Sequence[BufferSlot]) -> Callable[..., Any]:
    """A forward whose later runs, in the backward pass, start from the buffers of now, and put back those that they found.

    This copies the buffers: mostly statistics, of the size of a bias.
    """
    if not slots or not torch.is_grad_enabled():
        return forward
    at_first_run = _BufferState(slots)
    runs = 0

    def run(*args: Any, **kwargs: Any) -> Any:
        nonlocal runs
        runs += 1
        if runs == 1:
            return forward(*args, **kwargs)
        now = _BufferState(slots)
        at_first_run.restore()
        try:
            return forward(*args, **kwargs)
        finally:
            now.restore()

    return run


class _BufferState:
    """The tensors in some slots, and what they hold."""

    def __init__(self, slots: Sequence[BufferSlot]) -> None:
        self.slots = slots
        self.buffers = [own_buffers(module)[name] for module, name in slots]
        self.contents = [None if buffer is None else buffer.detach().clone() for buffer in self.buffers]

    def restore(self) -> None:
        """Put the tensors back, with their content. Autograd does not count this as a write."""
        for (module, name), buffer, content in zip(self.slots, self.buffers, self.contents, strict=True):
            own_buffers(module)[name] = buffer
            if buffer is not None and content is not None:
                buffer.data.copy_(content)
