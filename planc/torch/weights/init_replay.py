"""Does again what a model did to initialise itself, tensor by tensor, and lets go of each at once.

All random numbers are drawn, in the same order and for whole tensors, so they are the same on
every mesh. At any time only those whole tensors exist whose numbers are still used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from planc.ir.tree import map_leaves
from planc.torch.weights.init_recorder import InitRecorder, RecordedOp, StorageView

OnStorageReady = Callable[[int, Callable[[StorageView], Tensor]], None]
"""Takes a finished storage, and what makes its views."""


class InitReplay:
    """The storages that exist at a time."""

    def __init__(self, recorder: InitRecorder, wanted: Iterable[int], *, replay_rng: bool) -> None:
        self._steps = recorder.steps
        self._constants = recorder.constants
        self._storages: dict[int, torch.UntypedStorage] = {}
        self._wanted = set(wanted)
        self._needed: list[bool] = [False] * len(self._steps)
        self._done: dict[int, list[int]] = {}
        self._ends: dict[int, list[int]] = {}
        self.peak = 0
        """The most bytes that whole tensors took."""
        self._plan_storages(replay_rng)

    def _plan_storages(self, replay_rng: bool) -> None:
        """What has to be done again, and after which step a storage is finished or no longer used."""
        live, open_ = set(self._wanted), set(self._wanted)
        for i in range(len(self._steps) - 1, -1, -1):
            step = self._steps[i]
            made = step.writes | {ref.storage for ref in step.outputs if ref is not None}
            self._needed[i] = bool(made & live) or (replay_rng and step.uses_rng)
            if not self._needed[i]:
                continue
            touched = made | step.reads
            self._done[i] = sorted(open_ & touched)
            open_ -= touched
            self._ends[i] = sorted(touched - live)
            live -= {ref.storage for ref in step.outputs if ref is not None}
            live.discard(-1 if step.overwritten is None else step.overwritten)
            live |= step.reads
        self._never = open_

    def run(self, on_storage_ready: OnStorageReady) -> None:
        for i, step in enumerate(self._steps):
            if self._needed[i]:
                self._run_op(step)
                self.peak = max(self.peak, sum(s.nbytes() for s in self._storages.values()))
                for storage in self._done[i]:
                    on_storage_ready(storage, self.tensor_of)
                for storage in (*self._done[i], *self._ends[i]):
                    self._storages.pop(storage, None)
        for storage in self._never:
            on_storage_ready(storage, self.tensor_of)
            self._storages.pop(storage, None)

    def tensor_of(self, ref: StorageView) -> Tensor:
        """A tensor with its numbers. One that nothing was written to is zero."""
        if ref.storage not in self._storages:
            constant = self._constants.get(ref.storage)
            self._storages[ref.storage] = (
                torch.zeros(ref.storage_bytes, dtype=torch.uint8).untyped_storage()
                if constant is None
                else constant.clone().untyped_storage()
            )
        made = torch.empty(0, dtype=ref.dtype)
        return made.set_(self._storages[ref.storage], ref.offset, ref.size, ref.stride)

    def _run_op(self, step: RecordedOp) -> None:
        arguments, keywords = map_leaves((step.args, step.kwargs), StorageView, self.tensor_of)
        result: Any = step.op(*arguments, **keywords)
        results = result if isinstance(result, tuple | list) else (result,)
        for ref, tensor in zip(step.outputs, results):
            if ref is None:
                continue
            if tensor.stride() == ref.stride and tensor.storage_offset() == ref.offset:
                self._storages[ref.storage] = tensor.untyped_storage()
            else:
                self.tensor_of(ref).copy_(tensor)
