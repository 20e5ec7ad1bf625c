"""The same numbers on all ranks, before a model is split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.tensor import DTensor

from planc.torch.train.digest import tensor_digest, text_digest
from planc.torch.train.grads import all_gather_flat, comm_device

_BROADCAST_BYTES = 1 << 28
"""Bytes of one broadcast."""


def sync_params(model: nn.Module, group: ProcessGroup | None = None) -> tuple[str, ...]:
    """Give all ranks the first one's parameters and buffers, where they are not the same already.

    Equal models cost one pass over their numbers and a collective of 16 bytes. Tensors on the meta
    device have no numbers, and DTensors belong to who made them: both are left out.

    Args:
        group: the ranks; None: all there are. Each of them calls this.

    Returns:
        The names of what was not the same, on every rank.

    Raises:
        ValueError: the models themselves differ, in names, shapes or types. On every rank, and
            nothing is changed.
    """
    if not dist.is_initialized() or dist.get_world_size(group) == 1:
        return ()
    named = dict(chain(model.named_parameters(), model.named_buffers()))
    form = [f"{name}: {_describe_tensor(tensor)}" for name, tensor in named.items()]
    held = {n: t for n, t in named.items() if not (t.is_meta or isinstance(t, DTensor))}
    own = [int(tensor_digest(tensor)) for tensor in held.values()]
    seen = _all_gather_ints([text_digest(repr(form)), text_digest(repr(own))], group)
    if len({tuple(row) for row in seen}) == 1:
        return ()
    if len({row[0] for row in seen}) > 1:
        raise ValueError(_model_mismatch(form, group))
    every = _all_gather_ints(own, group)
    off = [name for i, name in enumerate(held) if len({row[i] for row in every}) > 1]
    for tensors in _broadcast_chunks([held[name] for name in off]):
        _broadcast(tensors, group)
    return tuple(off)


def _describe_tensor(tensor: Tensor) -> str:
    where = "split" if isinstance(tensor, DTensor) else "meta" if tensor.is_meta else ""
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)} {where}".rstrip()


def _all_gather_ints(numbers: Sequence[int], group: ProcessGroup | None) -> list[list[int]]:
    """The numbers of each rank."""
    device = comm_device(torch.device("cpu"), group)
    own = torch.tensor(numbers, dtype=torch.int64, device=device)
    found: list[list[int]] = all_gather_flat(own, group).view(-1, len(numbers)).tolist()
    return found


def _model_mismatch(form: list[str], group: ProcessGroup | None) -> str:
    """The first difference between the models of the ranks."""
    every: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(every, form, group=group)
    first = every[0]
    rank, other = next((rank, other) for rank, other in enumerate(every) if other != first)
    pairs = zip([*first, *["nothing"] * len(other)], [*other, *["nothing"] * len(first)])
    one, two = next((one, two) for one, two in pairs if one != two)
    return (
        f"the ranks have different models: rank 0 has '{one}' where rank {rank} has '{two}'. "
        "needed: the same model on all ranks"
    )


def _broadcast_chunks(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors of one type and device, as many as one broadcast takes."""
    kinds: dict[Any, list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    for same in kinds.values():
        chunk: list[Tensor] = []
        size = 0
        for tensor in same:
            if chunk and size + tensor.nbytes > _BROADCAST_BYTES:
                yield chunk
                chunk, size = [], 0
            chunk.append(tensor)
            size += tensor.nbytes
        yield chunk


@torch.no_grad()
def _broadcast(tensors: Sequence[Tensor], group: ProcessGroup | None) -> None:
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    sent = flat.to(comm_device(flat.device, group))
    # As bytes: not every backend knows every type.
    dist.broadcast(sent.view(torch.uint8), group_src=0, group=group)
    if dist.get_rank(group):
        for tensor, piece in zip(tensors, torch.split(sent, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(piece.view(tensor.shape))
