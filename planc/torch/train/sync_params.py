"""The same parameters and buffers on all ranks, before a model is split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from planc.torch.train.digest import tensor_digest, text_digest
from planc.torch.train.grads import group_by_dtype
from planc.torch.train.mesh_ranks import MeshRanks

_BROADCAST_BYTES = 1 << 28
"""Bytes of one broadcast."""
_MAX_NAMES = 3
"""Tensors that a report names."""


class _RankState(NamedTuple):
    """What a rank begins with."""

    failure: str | None
    """Why it cannot go on."""
    descriptions: list[str]
    """Of each parameter and buffer: name, dtype and shape."""
    digests: dict[str, int]
    """Of the values, by name; not of those on the meta device."""


_States = Mapping[int, _RankState]
"""The states of all ranks, by rank."""


def sync_params(
    model: nn.Module,
    ranks: MeshRanks | None = None,
    *,
    broadcast: bool = True,
    failure: str | None = None,
) -> tuple[str, ...]:
    """Compare the parameters and buffers of all ranks, and broadcast the first rank's where they differ.

    If all are equal, this costs one pass over them and a collective of 24 bytes a rank. Tensors on the meta device,
    DTensors, and tensors without strides (sparse, quantized, nested) are described and not compared.

    Args:
        ranks: each of them calls this; None: all ranks.
        broadcast: False: a difference is an error.
        failure: why this rank cannot go on. Then none does, and each rank says why.

    Returns:
        The names of tensors that differed, on every rank.

    Raises:
        ValueError: on every rank: a rank cannot go on; the models differ in names, shapes, dtypes, or in what is frozen;
            values differ and are not broadcast. Nothing has been changed.
    """
    ranks = ranks or MeshRanks.everywhere()
    if len(ranks.ranks) == 1:
        return ()
    named = {} if failure is not None else dict(chain(model.named_parameters(), model.named_buffers()))
    values = {name: tensor for name, tensor in named.items() if _has_values(tensor)}
    own = _RankState(
        failure,
        [f"{name}: {_describe_tensor(tensor)}" for name, tensor in named.items()],
        {name: int(tensor_digest(tensor)) for name, tensor in values.items()},
    )
    if not _differ(ranks, own):
        return ()
    states = dict(zip(ranks.ranks, ranks.gather_objects(own), strict=True))
    if error := _failures(states) or _model_mismatch(states):
        raise ValueError(error)
    differing = _differing_names(states)
    if not broadcast:
        raise ValueError(_value_mismatch(states, differing))
    for tensors in _broadcast_chunks([values[name] for name in differing]):
        _broadcast(tensors, ranks)
    return tuple(differing)


def _differ(ranks: MeshRanks, own: _RankState) -> bool:
    """Whether ranks differ, or one cannot go on: the same answer on every rank."""
    digests = text_digest(repr(own.descriptions)), text_digest(repr(own.digests))
    rows = ranks.gather_ints([int(own.failure is not None), *digests])
    return rows[0][0] > 0 or any(row != rows[0] for row in rows)


def _has_values(tensor: Tensor) -> bool:
    plain = tensor.layout == torch.strided and not (tensor.is_quantized or tensor.is_nested)
    return plain and not (tensor.is_meta or isinstance(tensor, DTensor))


def _describe_tensor(tensor: Tensor) -> str:
    where = "split" if isinstance(tensor, DTensor) else "meta" if tensor.is_meta else ""
    layout = "" if tensor.layout == torch.strided else str(tensor.layout).removeprefix("torch.")
    frozen = "frozen" if isinstance(tensor, nn.Parameter) and not tensor.requires_grad else ""
    shape = "" if tensor.is_nested else list(tensor.shape)
    return " ".join(
        filter(None, (str(tensor.dtype).removeprefix("torch."), str(shape), where, layout, frozen))
    )


def _failures(states: _States) -> str | None:
    """What each rank that cannot go on says."""
    found = (f"rank {rank} cannot go on: {one.failure}" for rank, one in states.items() if one.failure)
    return "\n".join(found) or None


def _model_mismatch(states: _States) -> str | None:
    """The first difference between the models of the ranks."""
    (first_rank, first), *others = states.items()
    for rank, other in others:
        if other.descriptions != first.descriptions:
            pairs = zip_longest(first.descriptions, other.descriptions, fillvalue="nothing")
            one, two = next((one, two) for one, two in pairs if one != two)
            return (
                f"the ranks have different models: rank {first_rank} has '{one}' where rank {rank} has '{two}'. "
                "needed: the same model on all ranks"
            )
    return None


def _differing_names(states: _States) -> list[str]:
    first, *others = states.values()
    return [
        name for name, own in first.digests.items() if any(other.digests[name] != own for other in others)
    ]


def _value_mismatch(states: _States, names: Sequence[str]) -> str:
    """The first tensors that differ, and the ranks that have others than the first."""
    (first_rank, first), *others = states.items()
    shown = []
    for name in names[:_MAX_NAMES]:
        differing = [str(rank) for rank, other in others if other.digests[name] != first.digests[name]]
        shown.append(f"'{name}' on rank{'s' * (len(differing) > 1)} {', '.join(differing)}")
    if len(names) > _MAX_NAMES:
        shown.append(f"{len(names) - _MAX_NAMES} more tensors")
    return (
        f"ranks begin with other weights than rank {first_rank}: {'; '.join(shown)}. needed: the same weights on all "
        "ranks, as of one seed or one file. sync='broadcast' copies those of the first rank; sync=None is for a "
        "model whose weights are loaded later"
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
def _broadcast(tensors: Sequence[Tensor], ranks: MeshRanks) -> None:
    flat = torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
    sent = ranks.broadcast(flat)
    for tensor, piece in zip(tensors, torch.split(sent, [t.numel() for t in tensors]), strict=True):
        tensor.copy_(piece.view(tensor.shape))
