"""Every change of layout, on tensors of every dtype and any strides, against the same on whole tensors.

What a boundary gives is then changed in place: as it is, through a view, and as what `contiguous` returns.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from planc.ir.lowered import LocalLayout
from planc.torch.apply.redistribute import redistribute

DTYPES = (
    "float64", "float32", "float16", "bfloat16", "complex64", "complex128", "int64", "int32", "int16", "int8", "uint8",
    "bool",
)  # fmt: skip
SHAPES = ((4, 3, 8), (1, 4, 3), (8, 1, 4), (4,), (0, 4), (4, 0))
"""Of whole tensors; the ranks share dims that four divides."""
STRIDES: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.movedim(0, -1).clone(memory_format=torch.contiguous_format).movedim(-1, 0),
    "with gaps": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "expanded": lambda x: x.narrow(0, 0, 1).expand(x.shape) if x.shape[0] else x,
    "conjugated": lambda x: x.conj() if x.is_complex() else x,
    "negative": lambda x: torch.complex(x, x).conj().imag if x.dtype in (torch.float32, torch.float64) else x,
}
CHANGES = [
    *((kind, "shard") for kind in ("invariant", "replicated", "constant", "shard", "partial")),
    *(("shard", kind) for kind in ("invariant", "replicated", "constant")),
    *(("partial", kind) for kind in ("invariant", "replicated", "constant")),
]


class Observer(TorchDispatchMode):
    """Looks on: collectives then take their functional way."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def wrong_changes(observed: bool) -> list[str]:
    """What differs from the same on whole tensors."""
    found = []
    cases = [(dtype, "transposed", shape) for dtype in DTYPES for shape in ((4, 8), (1, 8, 4))]
    cases += [
        (dtype, name, shape) for dtype in ("float64", "complex64") for name in STRIDES for shape in SHAPES
    ]
    for dtype, name, shape in cases:
        for change in itertools.chain(*(_dims(*kinds, shape) for kinds in CHANGES)):
            for fault in _faults(getattr(torch, dtype), STRIDES[name], shape, *change, observed):
                found.append(f"{dtype} {shape} {name} {change}: {fault}")
    return found


def _dims(before: str, after: str, shape: tuple[int, ...]) -> list[tuple[LocalLayout, LocalLayout]]:
    even = [dim for dim, size in enumerate(shape) if size % 4 == 0]
    left = [LocalLayout("shard", dim) for dim in even] if before == "shard" else [LocalLayout(before)]
    right = [LocalLayout("shard", dim) for dim in even] if after == "shard" else [LocalLayout(after)]
    return [(a, b) for a in left for b in right if a != b]


def _faults(
    dtype: torch.dtype,
    strides: Callable[[Tensor], Tensor],
    shape: tuple[int, ...],
    before: LocalLayout,
    after: LocalLayout,
    observed: bool,
) -> list[str]:
    rank, ranks = dist.get_rank(), dist.get_world_size()
    random = torch.Generator().manual_seed(1)
    count = ranks if before.kind == "partial" else 1
    terms = [strides(_numbers(shape, dtype, random)) for _ in range(count)]
    whole = torch.stack([term.clone() for term in terms]).sum(0).to(dtype)
    own = _slice(terms[rank % count], before).detach()
    source = own.requires_grad_(dtype.is_floating_point or dtype.is_complex)
    content = own.detach().clone()

    def run() -> Tensor:
        with Observer() if observed else nullcontext():
            return redistribute(
                source * 1 if source.requires_grad else source, before, after, dist.group.WORLD
            )

    got, needed = run(), _slice(whole, after)
    faults = [] if torch.equal(got, needed) and got.dtype == dtype else [f"{got} is not {needed}"]
    if source.requires_grad and "constant" not in (before.kind, after.kind):
        weight = _numbers(shape, dtype, random)
        torch.autograd.backward(got, _slice(weight, after))
        if not torch.equal(source.grad, _expected_grad(weight, before, after)):
            faults.append(f"gradient {source.grad}")
    faults += _change(run(), needed)
    if not torch.equal(source.detach(), content):
        faults.append("the source has changed")
    return faults


def _slice(whole: Tensor, layout: LocalLayout) -> Tensor:
    """This rank's part."""
    return whole if layout.dim is None else whole.chunk(dist.get_world_size(), layout.dim)[dist.get_rank()]


def _expected_grad(weight: Tensor, before: LocalLayout, after: LocalLayout) -> Tensor:
    """Of the sum of all ranks' results times `weight`, which is counted once where ranks have the same."""
    if before.kind == "replicated":
        own = torch.zeros_like(weight)
        _slice(own, after).copy_(_slice(weight, after))
        return own
    return _slice(weight, before) * (dist.get_world_size() if after.kind == "replicated" else 1)


def _change(x: Tensor, needed: Tensor) -> list[str]:
    """What goes wrong when a tensor is changed in place in several ways."""
    expected = needed.clone()
    try:
        for tensor in (x, expected):
            tensor.copy_(tensor.clone().logical_not() if tensor.dtype == torch.bool else tensor * 2)
            if tensor.numel():
                tensor[0].zero_()
                tensor.contiguous().view(-1)[-1:].fill_(1)
    except RuntimeError as error:
        return [str(error)[:100]]
    return [] if torch.equal(x, expected) else ["other numbers"]


def _numbers(shape: Any, dtype: torch.dtype, random: torch.Generator) -> Tensor:
    numbers = torch.randint(0, 2 if dtype == torch.bool else 9, tuple(shape), generator=random)
    if dtype.is_complex:
        return torch.complex(numbers.double(), numbers.double().flip(-1)).to(dtype)
    return numbers.to(dtype)
