"""The same parameters and buffers on all ranks, before a model is split."""

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
from planc.torch.train.grads import all_gather_flat, comm_device, group_by_dtype

_BROADCAST_BYTES = 1 << 28
"""Bytes of one broadcast."""


def sync_params(model: nn.Module, group: ProcessGroup | None = None) -> tuple[str, ...]:
    """Broadcast the first rank's parameters and buffers, those that differ between ranks.

    If all are equal, this costs one pass over them and a collective of 16 bytes. Tensors on the meta device and
    DTensors are left out.

    Args:
        group: the ranks; None: all ranks. Each of them calls this.

    Returns:
        The names of tensors that differed, on every rank.

    Raises:
        ValueError: on every rank, if the models differ in names, shapes or dtypes; nothing has been changed.
    """
    if not dist.is_initialized() or dist.get_world_size(group) == 1:
        return ()
    named = dict(chain(model.named_parameters(), model.named_buffers()))
    descriptions = [f"{name}: {_describe_tensor(tensor)}" for name, tensor in named.items()]
    values = {n: t for n, t in named.items() if not (t.is_meta or isinstance(t, DTensor))}
    own = [int(tensor_digest(tensor)) for tensor in values.values()]
    digests = _all_gather_ints([text_digest(repr(descriptions)), text_digest(repr(own))], group)
    if len({tuple(row) for row in digests}) == 1:
        return ()
    if len({row[0] for row in digests}) > 1:
        raise ValueError(_model_mismatch(descriptions, group))
    every = _all_gather_ints(own, group)
    differing = [name for i, name in enumerate(values) if len({row[i] for row in every}) > 1]
    for tensors in _broadcast_chunks([values[name] for name in differing]):
        _broadcast(tensors, group)
    return tuple(differing)


def _describe_tensor(tensor: Tensor) -> str:
    where = "split" if isinstance(tensor, DTensor) else "meta" if tensor.is_meta else ""
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)} {where}".rstrip()


def _all_gather_ints(numbers: Sequence[int], group: ProcessGroup | None) -> list[list[int]]:
    """The numbers of each rank, a row for a rank."""
    device = comm_device(torch.device("cpu"), group)
    own = torch.tensor(numbers, dtype=torch.int64, device=device)
    rows: list[list[int]] = all_gather_flat(own, group).view(-1, len(numbers)).tolist()
    return rows


def _model_mismatch(descriptions: list[str], group: ProcessGroup | None) -> str:
    """The first difference between the models of the ranks."""
    every: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(every, descriptions, group=group)
    first = every[0]
    rank, other = next((rank, other) for rank, other in enumerate(every) if other != first)
    pairs = zip([*first, *["nothing"] * len(other)], [*other, *["nothing"] * len(first)])
    one, two = next((one, two) for one, two in pairs if one != two)
    return (
        f"the ranks have different models: rank 0 has '{one}' where rank {rank} has '{two}'. "
        "needed: the same model on all ranks"
    )


def _broadcast_chunks(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors of one dtype and device, as many as one broadcast sends."""
    for group in group_by_dtype(tensors):
        chunk: list[Tensor] = []
        size = 0
        for tensor in group:
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
    # As bytes: no backend supports every dtype.
    dist.broadcast(sent.view(torch.uint8), group_src=0, group=group)
    if dist.get_rank(group):
        for tensor, piece in zip(tensors, torch.split(sent, [t.numel() for t in tensors]), strict=True):
            tensor.copy_(piece.view(tensor.shape))
