"""Write a checkpoint: beside its place, and moved there when it is whole."""

from __future__ import annotations

import io
import os
import pickle
import secrets
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch.distributed.checkpoint import filesystem
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import SavePlan
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.checkpoint.storage import WriteResult

from planc.torch.checkpoints.atomic_rename import fsync_path
from planc.torch.checkpoints.rank_sync import is_multi_rank, is_rank_zero, run_on_rank_zero
from planc.torch.checkpoints.storage import META_FILE, LocalStorage, PathOrUrl, RemoteStorage, storage_at

Tree = Mapping[str, Any]


class CheckpointNotSaved(RuntimeError):
    """A checkpoint that was not written; what was at its place is still there."""


def save_checkpoint(
    path: PathOrUrl,
    tensors: Tree,
    rest: Tree | bytes,
    *,
    full: bool,
    storage_options: Mapping[str, Any] | None = None,
    group: Any = None,
) -> None:
    """Write a checkpoint. All ranks call this; when it returns, the checkpoint is whole and in its place.

    Killed at any moment, on any rank, the checkpoint that was at the place is there and whole, or the
    new one is. What a killed save has left behind is deleted by the next save to the same path; so two
    runs must not save to one path at a time.

    Args:
        path: a path or a URL; that of the first rank holds.
        tensors: the states by key, as `model_state` and `optimizer_state` give them.
        rest: all else, of which the first rank's is written; or its bytes by `packed`.
        full: write one file, of the first rank's tensors; else a folder, of those of all ranks.
        storage_options: for URLs, what fsspec is told of the file system.
        group: the processes by which ranks talk; by default all of them, by the usual group.

    Raises:
        NotSaved: a rank could not write.
        IsADirectoryError: a file would replace a folder that is no checkpoint.
        OSError: the place cannot be written to.
    """
    where, token = run_on_rank_zero(lambda: (os.fspath(path), secrets.token_hex(4)), group)
    spot = storage_at(where, storage_options)
    if isinstance(spot, LocalStorage):
        _save_local(spot, token, tensors, rest, full, group)
    else:
        _save_remote(spot, token, tensors, rest, full, group)


def pack_rest(rest: Tree) -> bytes:
    """All that is no tensor of a state, as `torch.save` writes it, on the first rank."""
    buffer = io.BytesIO()
    if is_rank_zero():
        torch.save(dict(rest), buffer)
    return buffer.getvalue()


def _unpack_rest(rest: Tree | bytes) -> Tree:
    """What this very process has packed."""
    if not isinstance(rest, bytes):
        return rest
    found: Tree = torch.load(io.BytesIO(rest), map_location="cpu", weights_only=False)
    return found


def _save_local(
    spot: LocalStorage, token: str, tensors: Tree, rest: Tree | bytes, full: bool, group: Any
) -> None:
    run_on_rank_zero(lambda: spot.prepare(token, full), group)
    fresh = spot.staging_path(token)

    def finish() -> None:
        if full:
            torch.save({**tensors, **_unpack_rest(rest)}, fresh)
        else:
            (fresh / META_FILE).write_bytes(rest if isinstance(rest, bytes) else pack_rest(rest))
            fsync_path(fresh / META_FILE)
        spot.commit(token)

    try:
        if not full:
            _write_shards(tensors, FileSystemWriter(fresh), spot.final, group)
        run_on_rank_zero(finish, group)
    except BaseException:
        if is_rank_zero():
            spot.discard(token)
        raise


def _save_remote(
    spot: RemoteStorage, token: str, tensors: Tree, rest: Tree | bytes, full: bool, group: Any
) -> None:
    run_on_rank_zero(lambda: spot.prepare(full), group)
    if not full:
        said = rest if isinstance(rest, bytes) else pack_rest(rest)
        _write_shards(tensors, _remote_writer(spot, token, said), spot.url, group)
        return

    def finish() -> None:
        with spot.filesystem.open(spot.staging_path(token), "wb") as file:
            torch.save({**tensors, **_unpack_rest(rest)}, file)
        spot.commit_file(token)

    run_on_rank_zero(finish, group)


def _write_shards(tensors: Tree, writer: FileSystemWriter, where: object, group: Any) -> None:
    """Have torch write the slices of all ranks.

    Raises:
        NotSaved: a rank has failed, and all ranks say which.
    """
    alone = not is_multi_rank()
    try:
        with warnings.catch_warnings():
            if alone:
                warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            save(dict(tensors), storage_writer=writer, process_group=group, no_dist=alone)
    except CheckpointException as bad:
        said = "; ".join(f"rank {rank}: {type(f).__name__}: {f}" for rank, (f, _) in bad.failures.items())
        raise CheckpointNotSaved(f"'{where}' was not saved: {said}") from bad


def _remote_writer(spot: RemoteStorage, token: str, rest: bytes) -> FileSystemWriter:
    from torch.distributed.checkpoint._fsspec_filesystem import FsspecWriter

    class Writer(FsspecWriter):
        """Gives files names of their own, and writes what makes them a checkpoint last, in one piece."""

        def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
            self.fs.mkdir(self.path)
            return plan

        def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
            prefix = type(super().prepare_global_plan(plans[:1])[0].storage_data)
            return [
                replace(plan, storage_data=prefix(f"__{rank}_{token}_")) for rank, plan in enumerate(plans)
            ]

        def storage_meta(self) -> StorageMeta:
            return StorageMeta(checkpoint_id=spot.url, save_id=token)

        def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
            metadata.storage_data = {item.index: item.storage_data for rank in results for item in rank}
            metadata.storage_meta = self.storage_meta()
            metadata.version = getattr(filesystem, "CURRENT_DCP_VERSION", None)
            spot.commit_folder(pickle.dumps(metadata), rest, token)

    # Nothing there can be synced by hand: files are whole when they are closed.
    return Writer(spot.url, sync_files=False, **spot.options)


def delete_checkpoint(path: PathOrUrl, storage_options: Mapping[str, Any] | None = None) -> None:
    """Delete a checkpoint, if it is there. One rank calls this. Killed meanwhile, nothing that looks
    like a checkpoint is left at its place."""
    storage_at(path, storage_options).delete()
