"""Saves checkpoints one after the other, in the background if wanted."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Thread
from typing import Any

import torch.distributed as dist

from planc.torch.checkpoints.rank_sync import is_multi_rank
from planc.torch.checkpoints.save_checkpoint import Tree, pack_rest, save_checkpoint
from planc.torch.checkpoints.state_dicts import copy_to_cpu
from planc.torch.checkpoints.storage import PathOrUrl


class CheckpointSaver:
    """Writes checkpoints, one at a time. All ranks make one, and call it alike.

    In the background, tensors are copied to the CPU at once; a thread writes them, and ranks communicate in a
    process group of their own, so training goes on. The checkpoint is in its place when all ranks have
    written: the next save, `wait` and `close` wait for that, and raise what went wrong. Call `close` before
    the process group is destroyed.
    """

    def __init__(self) -> None:
        self._group: Any = None
        self._thread: Thread | None = None
        self._error: BaseException | None = None

    def save(
        self,
        path: PathOrUrl,
        tensors: Tree,
        rest: Tree,
        *,
        full: bool,
        background: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a checkpoint, as `save_checkpoint` does.

        Args:
            path: a path or a URL.
            tensors: the states by key. Full ones, as `model_state_dict(..., full=True)` returns them, are
                copies already, and are not copied again.
            rest: everything else; changes after the call are not written.
            full: write one file, else a folder.
            background: return as soon as everything is copied.
            storage_options: for URLs, the options of fsspec's file system.

        Raises:
            CheckpointNotSaved: this save, or the one before in the background, has failed.
            OSError: the file system cannot be written to.
        """
        self.wait()
        if not background:
            save_checkpoint(path, tensors, rest, full=full, storage_options=storage_options)
            return
        if self._group is None and is_multi_rank():
            self._group = dist.new_group(backend="gloo")
        copied = dict(tensors) if full else copy_to_cpu(tensors)
        packed = pack_rest(rest)

        def run() -> None:
            try:
                save_checkpoint(
                    path, copied, packed, full=full, storage_options=storage_options, group=self._group
                )
            except BaseException as error:  # noqa: BLE001  # `wait` raises it
                self._error = error

        self._thread = Thread(target=run, name="planc-checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Wait until the checkpoint that is written in the background is in its place.

        Raises:
            CheckpointNotSaved: it could not be written.
            OSError: the file system cannot be written to.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def close(self) -> None:
        """Wait, and destroy the process group. The saver can be used again.

        Raises:
            CheckpointNotSaved: the checkpoint in the background could not be written.
            OSError: the file system cannot be written to.
        """
        try:
            self.wait()
        finally:
            if self._group is not None and dist.is_initialized():
                dist.destroy_process_group(self._group)
            self._group = None
