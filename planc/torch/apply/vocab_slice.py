"""What a rank holds of logits that are split over the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.distributed import ProcessGroup

from planc.ir.lowered import LocalLayout
from planc.ir.record import Record
from planc.torch.apply.redistribute import redistribute
from planc.torch.compat import assert_async

INVARIANT = LocalLayout("invariant")
VocabDims = int | Sequence[int] | None
"""Dims of an operation; None and () are all."""


class VocabSlice(Record):
    """This rank's slice of logits, or of a tensor that is split as they are."""

    local: Tensor
    dim: int
    """The dim of the vocabulary, counted from the front."""
    group: ProcessGroup

    @property
    def first(self) -> int:
        """The first id of this rank."""
        return self.group.rank() * self.local.shape[self.dim]

    @property
    def words(self) -> int:
        """The ids of all ranks."""
        return self.group.size() * self.local.shape[self.dim]

    @property
    def from_end(self) -> int:
        """The dim of the vocabulary counted from the end, where broadcasting aligns dims; the last one is 1."""
        return self.local.ndim - self.dim

    @property
    def shape(self) -> tuple[int, ...]:
        """The global shape."""
        return (*self.local.shape[: self.dim], self.words, *self.local.shape[self.dim + 1 :])

    def with_local(self, local: Tensor, dim: int | None = None) -> VocabSlice:
        """The same ids of another tensor."""
        return VocabSlice(local, self.dim if dim is None else dim, self.group)

    def aligned(self, local: Tensor) -> VocabSlice:
        """The same ids of the result of an operation that broadcasts."""
        return self.with_local(local, local.ndim - self.from_end)

    def without(self, dims: Sequence[int], local: Tensor, keepdim: bool) -> VocabSlice:
        """The same ids after a reduction over other dims."""
        return self.with_local(local, self.dim - (0 if keepdim else sum(dim < self.dim for dim in dims)))

    def gather(self) -> Tensor:
        """The slices of all ranks together."""
        return redistribute(self.local, LocalLayout("shard", self.dim), INVARIANT, self.group)

    def local_ids(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Ids of the vocabulary as indices of the slice; 0 where another rank has the id, and a mask that is True there."""
        own = ids - self.first
        elsewhere = (own < 0) | (own >= self.local.shape[self.dim])
        return own.masked_fill(elsewhere, 0), elsewhere


def unsupported(what: str) -> RuntimeError:
    """The error for a use of the logits that needs more than the slices."""
    # No TypeError: Python's operators would take it for "not implemented".
    return RuntimeError(
        f"vocab-parallel logits do not support {what}: each rank holds a slice of the vocabulary, since the plan "
        "has 'loss vocab_parallel'. Supported are F.cross_entropy, F.nll_loss and F.kl_div; softmax, log_softmax, "
        "logsumexp, gather, max, argmax, topk, sum and mean over the vocabulary; functions of each logit by itself; "
        "and views, permutations, slices and sums of the other dims. For anything else gather them first: "
        "logits.full_tensor()"
    )


def check_ids(ids: Tensor, words: int, what: str, ignored: Tensor | None = None) -> None:
    """Raise an IndexError for an id that no rank holds: it would count as a logit of zero.

    On a GPU the check waits for nothing, and stops the program later.
    """
    wrong = (ids < 0) | (ids >= words)
    if ignored is not None:
        wrong &= ~ignored
    if ids.device.type == "cpu":
        if wrong.any():
            raise IndexError(f"{what} {int(ids[wrong][0])} is out of bounds.")
    else:
        assert_async(~wrong.any(), f"{what.lower()} of vocab-parallel logits is out of bounds")


def dims_of(x: VocabSlice, dim: VocabDims) -> list[int]:
    """Dims of the logits, counted from the front."""
    count = x.local.ndim
    given = [dim] if isinstance(dim, int) else list(dim or range(count))
    for each in given:
        if not -count <= each < count:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-count}, {count - 1}], but got {each})"
            )
    return [each % count for each in given]
