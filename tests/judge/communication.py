"""Communication of two ranks, and what it does to gradients.

All of it is made of one exchange, which says first what is exchanged: ranks that have come
apart, by an exception on one of them or another order of calls, both end at once.
"""

from __future__ import annotations

import zlib
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

RANKS = 2
_RUNS, _ENDED = 0, 1


class RanksDiverged(Exception):
    """The ranks do not do the same."""


class RankLink:
    """The line between the ranks."""

    def __init__(self, rank: int) -> None:
        self.rank, self.ended = rank, False
        self.count = 0

    def begin(self) -> None:
        self.ended, self.count = False, 0

    def exchange(self, tensor: Tensor, what: str) -> list[Tensor]:
        """What every rank holds, in the order of ranks."""
        text = f"{what} {tuple(tensor.shape)} {tensor.dtype} {self.count}"
        self.count += 1
        self._agree(_RUNS, zlib.crc32(text.encode()), text)
        tensor = tensor.detach().contiguous()
        found = [torch.empty_like(tensor) for _ in range(RANKS)]
        dist.all_gather(found, tensor)
        return found

    def end(self) -> None:
        """This rank is through, or has failed; the other may still run."""
        if not self.ended:
            self._agree(_ENDED, 0, "the end")

    def _agree(self, state: int, mark: int, text: str) -> None:
        own = torch.tensor([state, mark], dtype=torch.int64)
        heads = [torch.empty_like(own) for _ in range(RANKS)]
        dist.all_gather(heads, own)
        states = [int(head[0]) for head in heads]
        self.ended = _ENDED in states
        if len(set(states)) > 1:
            raise RanksDiverged(f"at {text}, one rank has ended")
        if int(heads[0][1]) != int(heads[1][1]):
            raise RanksDiverged(f"the ranks exchange different things, one of them {text}")


def all_reduce(link: RankLink, tensor: Tensor, what: str) -> Tensor:
    first, *others = link.exchange(tensor, what)
    return sum(others, first)


def all_gather(link: RankLink, tensor: Tensor, dim: int, what: str) -> Tensor:
    return torch.cat(link.exchange(tensor, what), dim)


def local_slice(link: RankLink, tensor: Tensor, dim: int) -> Tensor:
    if tensor.shape[dim] % RANKS:
        raise ValueError(f"{RANKS} ranks cannot share dim {dim} of {tuple(tensor.shape)}")
    return tensor.chunk(RANKS, dim)[link.rank]


def ranks_agree(link: RankLink, tensor: Tensor, what: str) -> bool:
    """Whether the ranks hold the same numbers."""
    first, second = link.exchange(tensor, what)
    scale = float(torch.maximum(first.abs(), second.abs()).max()) if first.numel() else 0.0
    return bool(torch.isfinite(first).all()) and float((first - second).abs().max()) <= 1e-4 * scale


class GradientPolicy:
    """What becomes of gradients where «replicate» leaves it open: are they in parts?

    found: in parts where the numbers of the ranks differ. told: a list of boundaries says it,
    (module, port) of those that communicate backward. grouped: as found, but nothing is summed
    inside of a module that has `inputs` and none with `inputs` below it: it sums by itself.
    """

    def __init__(
        self, link: RankLink, policy: str, claimed: frozenset[tuple[str, str]] = frozenset()
    ) -> None:
        self.link, self.policy, self.claimed = link, policy, claimed

    def is_partial(self, module: str, port: str, grad: Tensor) -> bool:
        if self.policy == "claimed":
            return (module, port) in self.claimed
        return not ranks_agree(self.link, grad, f"gradient of {module} {port}")


class BoundaryFunction(torch.autograd.Function):
    """One tensor crosses a boundary."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, gate: Boundary) -> Tensor:
        ctx.gate = gate
        return gate.forward(tensor)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.gate.backward(grad), None


class Boundary:
    """A change of layout at one port of a module. Dims are counted from the first."""

    def __init__(
        self, judgement: GradientPolicy, module: str, port: str, before: Any, after: Any, inside: bool
    ) -> None:
        self.judgement, self.link = judgement, judgement.link
        self.module, self.port, self.before, self.after = module, port, before, after
        self.inside = inside
        """Whether a boundary around it sums."""
        self.enters = port.startswith("input")
        self.what = f"{module} {port}"

    def forward(self, x: Tensor) -> Tensor:
        before, after, link = self.before, self.after, self.link
        if before == after:
            return x.clone()
        if before == "replicate" and isinstance(after, int):
            return local_slice(link, x, after).clone()
        if isinstance(before, int) and after == "replicate":
            return all_gather(link, x, before, self.what)
        if isinstance(before, int) and isinstance(after, int):
            return local_slice(link, all_gather(link, x, before, self.what), after).clone()
        if before == "partial":
            whole = all_reduce(link, x, self.what)
            return whole if after == "replicate" else local_slice(link, whole, after).clone()
        raise ValueError(f"no communication turns {before} into {after}")

    def backward(self, grad: Tensor) -> Tensor:
        before, after, link = self.before, self.after, self.link
        if after == "replicate" and before != "partial" and not self.enters:
            return grad if before == after else local_slice(link, grad, before).clone()
        if after == "replicate" and (self.enters or before != "partial"):
            left = self.inside and before == after
            if not left and self.judgement.is_partial(self.module, self.port, grad):
                grad = all_reduce(link, grad, f"{self.what} backward")
            return local_slice(link, grad, before).clone() if isinstance(before, int) else grad
        if before == after or after == "replicate":
            return grad
        if isinstance(before, int):
            return local_slice(link, all_gather(link, grad, after, f"{self.what} backward"), before).clone()
        if before == "replicate" and self._stays_partial():
            whole = torch.zeros_like(grad)
            parts = [whole] * RANKS
            parts[link.rank] = grad
            return torch.cat(parts, after)
        return all_gather(link, grad, after, f"{self.what} backward")

    def _stays_partial(self) -> bool:
        """Whether a slice of a whole value gives its gradient back in parts."""
        claimed = self.judgement.claimed
        return self.inside or (self.judgement.policy == "claimed" and (self.module, self.port) not in claimed)
