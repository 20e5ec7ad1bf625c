"""Repeats the recorded initialization of a model, tensor by tensor, and frees each tensor at once.

All random numbers are drawn in the same order and for full tensors, so they are the same on every mesh. At any time
only those full tensors exist that a later operation uses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from planc.ir.tree import map_leaves
from planc.torch.weights.init_recorder import InitOp, InitRecorder, StorageView

OnStorageReady = Callable[[int, Callable[[StorageView], Tensor]], None]
"""Gets the identity of a finished storage, and a function that makes tensors of its views."""


class InitReplay:
    """Runs recorded operations, and keeps the storages that are in use."""

    def __init__(self, recorder: InitRecorder, wanted: Iterable[int], *, replay_rng: bool) -> None:
        """
        Args:
            wanted: the storages to finish.
            replay_rng: whether to draw random numbers also for other storages, so that the stream is that of
                the recorded model.
        """
        self._ops = recorder.ops
        self._constants = recorder.constants
        self._storages: dict[int, torch.UntypedStorage] = {}
        self._wanted = set(wanted)
        self._needed: list[bool] = [False] * len(self._ops)
        self._finished: dict[int, list[int]] = {}
        self._freed: dict[int, list[int]] = {}
        self.peak = 0
        """The most bytes that full tensors took at a time."""
        self._plan_storages(replay_rng)

    def _plan_storages(self, replay_rng: bool) -> None:
        """Find the operations to run, and those after which a storage is finished or no longer used: liveness, from the
        last operation to the first."""
        live, unfinished = set(self._wanted), set(self._wanted)
        for i in range(len(self._ops) - 1, -1, -1):
            op = self._ops[i]
            written = op.writes | {view.storage for view in op.outputs if view is not None}
            self._needed[i] = bool(written & live) or (replay_rng and op.uses_rng)
            if not self._needed[i]:
                continue
            touched = written | op.reads
            self._finished[i] = sorted(unfinished & touched)
            unfinished -= touched
            self._freed[i] = sorted(touched - live)
            live -= {view.storage for view in op.outputs if view is not None}
            live.discard(-1 if op.overwritten is None else op.overwritten)
            live |= op.reads
        self._untouched = unfinished

    def run(self, on_storage_ready: OnStorageReady) -> None:
        """Run the operations, and hand out each wanted storage as soon as it is finished."""
        for i, op in enumerate(self._ops):
            if self._needed[i]:
                self._run_op(op)
                self.peak = max(self.peak, sum(s.nbytes() for s in self._storages.values()))
                for storage in self._finished[i]:
                    on_storage_ready(storage, self.tensor_of)
                for storage in (*self._finished[i], *self._freed[i]):
                    self._storages.pop(storage, None)
        for storage in self._untouched:
            on_storage_ready(storage, self.tensor_of)
            self._storages.pop(storage, None)

    def tensor_of(self, view: StorageView) -> Tensor:
        """A tensor of a view with its values: zeros if nothing has written to its storage."""
        if view.storage not in self._storages:
            constant = self._constants.get(view.storage)
            self._storages[view.storage] = (
                torch.zeros(view.storage_bytes, dtype=torch.uint8).untyped_storage()
                if constant is None
                else constant.clone().untyped_storage()
            )
        tensor = torch.empty(0, dtype=view.dtype)
        return tensor.set_(self._storages[view.storage], view.offset, view.size, view.stride)

    def _run_op(self, op: InitOp) -> None:
        args, kwargs = map_leaves((op.args, op.kwargs), StorageView, self.tensor_of)
        result: Any = op.op(*args, **kwargs)
        results = result if isinstance(result, tuple | list) else (result,)
        for view, tensor in zip(op.outputs, results):
            if view is None:
                continue
            if tensor.stride() == view.stride and tensor.storage_offset() == view.offset:
                self._storages[view.storage] = tensor.untyped_storage()
            else:
                self.tensor_of(view).copy_(tensor)
