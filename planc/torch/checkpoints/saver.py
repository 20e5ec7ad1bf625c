"""Saves one after the other, in the background if wanted."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Thread
from typing import Any

import torch.distributed as dist

from planc.torch.checkpoints.rank_sync import is_multi_rank
from planc.torch.checkpoints.save import Tree, pack_rest, save_checkpoint
from planc.torch.checkpoints.state_dicts import copy_to_cpu
from planc.torch.checkpoints.storage import PathOrUrl


class CheckpointSaver:
    """Writes checkpoints, one at a time. All ranks make one, and call it alike.

    In the background, tensors are copied to the CPU at once; a thread writes them, and ranks talk by a
    group of their own, so training goes on. The checkpoint is in its place when all ranks have
    written: the next save, `wait` and `close` wait for that, and raise what went wrong. Before the
    process group is destroyed, `close` must have been called.
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
        """Write a checkpoint, as `write` does.

        Args:
            path: a path or a URL.
            tensors: the states by key. Full ones, as `model_state(..., full=True)` gives them, are copies
                already, and are not copied again.
            rest: all else; what is changed after the call is not written.
            full: write one file, else a folder.
            background: return as soon as all is copied.
            storage_options: for URLs, what fsspec is told of the file system.

        Raises:
            NotSaved: this save, or the one before in the background, has failed.
            OSError: the place cannot be written to.
        """
        self.wait()
        if not background:
            save_checkpoint(path, tensors, rest, full=full, storage_options=storage_options)
            return
        if self._group is None and is_multi_rank():
            self._group = dist.new_group(backend="gloo")
        kept = dict(tensors) if full else copy_to_cpu(tensors)
        said = pack_rest(rest)

        def run() -> None:
            try:
                save_checkpoint(
                    path, kept, said, full=full, storage_options=storage_options, group=self._group
                )
            except BaseException as fault:  # noqa: BLE001  # it is raised where somebody waits
                self._error = fault

        self._thread = Thread(target=run, name="planc-checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Wait until what is written in the background is in its place.

        Raises:
            NotSaved: it could not be written.
            OSError: the place cannot be written to.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        fault, self._error = self._error, None
        if fault is not None:
            raise fault

    def close(self) -> None:
        """Wait, and let go of the group of processes. The saver can be used again.

        Raises:
            NotSaved: what was written in the background could not be written.
            OSError: the place cannot be written to.
        """
        try:
            self.wait()
        finally:
            if self._group is not None and dist.is_initialized():
                dist.destroy_process_group(self._group)
            self._group = None
