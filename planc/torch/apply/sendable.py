"""What a process group can send and add: contiguous memory, of dtypes that NCCL and gloo both know."""

from __future__ import annotations

import torch
from torch import Tensor

_KNOWN = frozenset({
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int8, torch.uint8,
})  # fmt: skip
_ADDED_AS = {
    torch.bool: torch.int32, torch.int16: torch.int32, torch.uint16: torch.int32, torch.uint32: torch.int64,
    torch.uint64: torch.int64,
}  # fmt: skip
"""Sums of a wider dtype; those of small floats are float32."""


def contiguous(x: Tensor) -> Tensor:
    """The numbers of a tensor as they lie in memory: strides, and lazy conjugates and negatives, are carried out."""
    if torch.compiler.is_compiling():
        # A compiler traces no questions about these bits.
        return (x.resolve_conj() if x.is_complex() else x).contiguous()
    if x.is_conj() or x.is_neg():
        x = x.resolve_conj().resolve_neg()
    return x.contiguous()


def as_sent(x: Tensor) -> Tensor:
    """A view of contiguous memory in a dtype that can be sent. Its dims are those of `x`: the last one may be longer,
    and a complex tensor has one more."""
    if x.dtype in _KNOWN:
        return x
    if x.is_complex():
        return torch.view_as_real(x)
    return _flat(x).view(torch.uint8).view(*x.shape[:-1], x.shape[-1] * x.element_size())


def as_received(sent: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor of the dtype out of what arrived: no view, so that code may change it in place."""
    if sent.dtype == dtype:
        return sent
    if dtype.is_complex:
        return torch.view_as_complex(sent).clone()
    return _flat(sent).view(dtype).view(*sent.shape[:-1], sent.shape[-1] // dtype.itemsize).clone()


def _flat(x: Tensor) -> Tensor:
    """Contiguous memory as one dim. In `x` a dim of one entry may have any stride, of which torch makes no view of bytes."""
    return x.as_strided((x.numel(),), (1,))


def addition_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which tensors are added; `dtype` itself where the backends can."""
    if dtype in _KNOWN or dtype.is_complex:
        return dtype
    return _ADDED_AS.get(dtype, torch.float32)
