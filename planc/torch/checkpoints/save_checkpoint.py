"""Write a checkpoint atomically: next to its final path, and moved there when it is complete."""

from __future__ import annotations

import io
import os
import secrets
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.state_dict_saver import save

from planc.torch.checkpoints.atomic_rename import fsync_path
from planc.torch.checkpoints.rank_sync import is_multi_rank, is_rank_zero, run_on_rank_zero
from planc.torch.checkpoints.storage import META_FILE, LocalStorage, PathOrUrl, RemoteStorage, storage_at

Tree = Mapping[str, Any]


class CheckpointNotSaved(RuntimeError):
    """A checkpoint was not written; the previous one is still there."""


def save_checkpoint(
    path: PathOrUrl,
    tensors: Tree,
    rest: Tree | bytes,
    *,
    full: bool,
    storage_options: Mapping[str, Any] | None = None,
    group: Any = None,
) -> None:
    """Write a checkpoint. All ranks call this; when it returns, the checkpoint is complete and in its place.

    Whenever a rank is killed, either the previous checkpoint or the new one is at the path, complete. The next
    save to the same path deletes what a killed save has left behind; so two runs must not save to one
    path at the same time.

    Args:
        path: a path or a URL; rank 0's counts.
        tensors: the states by key, as `model_state_dict` and `optimizer_state_dict` return them.
        rest: everything else, of which rank 0's is written; or its bytes by `pack_rest`.
        full: write one file, of rank 0's tensors; else a folder, of the tensors of all ranks.
        storage_options: for URLs, the options of fsspec's file system.
        group: the process group to communicate in; by default the one of all ranks.

    Raises:
        CheckpointNotSaved: a rank could not write.
        IsADirectoryError: a file would replace a folder that is not a checkpoint.
        OSError: the file system cannot be written to.
    """
    location, token = run_on_rank_zero(lambda: (os.fspath(path), secrets.token_hex(4)), group)
    storage = storage_at(location, storage_options)
    if isinstance(storage, LocalStorage):
        _save_local(storage, token, tensors, rest, full, group)
    else:
        _save_remote(storage, token, tensors, rest, full, group)


def pack_rest(rest: Tree) -> bytes:
    """Everything but the states as bytes of `torch.save`, on rank 0; no bytes on the others."""
    buffer = io.BytesIO()
    if is_rank_zero():
        torch.save(dict(rest), buffer)
    return buffer.getvalue()


def _packed(rest: Tree | bytes) -> bytes:
    return rest if isinstance(rest, bytes) else pack_rest(rest)


def _unpacked(rest: Tree | bytes) -> Tree:
    if not isinstance(rest, bytes):
        return rest
    # This process has packed the bytes, so they may be unpickled.
    tree: Tree = torch.load(io.BytesIO(rest), map_location="cpu", weights_only=False)
    return tree


def _save_local(
    storage: LocalStorage, token: str, tensors: Tree, rest: Tree | bytes, full: bool, group: Any
) -> None:
    run_on_rank_zero(lambda: storage.prepare(token, full), group)
    staged = storage.staging_path(token)

    def finish() -> None:
        if full:
            torch.save({**tensors, **_unpacked(rest)}, staged)
        else:
            (staged / META_FILE).write_bytes(_packed(rest))
            fsync_path(staged / META_FILE)
        storage.commit(token)

    try:
        if not full:
            _write_shards(tensors, FileSystemWriter(staged), storage.final, group)
        run_on_rank_zero(finish, group)
    except BaseException:
        if is_rank_zero():
            storage.discard(token)
        raise


def _save_remote(
    storage: RemoteStorage, token: str, tensors: Tree, rest: Tree | bytes, full: bool, group: Any
) -> None:
    run_on_rank_zero(lambda: storage.prepare(full), group)
    if not full:
        # It needs fsspec, which local checkpoints do without.
        from planc.torch.checkpoints.fsspec_writer import AtomicFsspecWriter

        writer = AtomicFsspecWriter(storage, token, _packed(rest))
        _write_shards(tensors, writer, storage.url, group)
        return

    def finish() -> None:
        with storage.filesystem.open(storage.staging_path(token), "wb") as file:
            torch.save({**tensors, **_unpacked(rest)}, file)
        storage.commit_file(token)

    run_on_rank_zero(finish, group)


def _write_shards(tensors: Tree, writer: FileSystemWriter, location: object, group: Any) -> None:
    """Have torch write the slices of all ranks.

    Raises:
        CheckpointNotSaved: a rank failed; all ranks raise this, and name it.
    """
    is_alone = not is_multi_rank()
    try:
        with warnings.catch_warnings():
            if is_alone:
                warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            save(dict(tensors), storage_writer=writer, process_group=group, no_dist=is_alone)
    except CheckpointException as error:
        failures = "; ".join(
            f"rank {rank}: {type(own).__name__}: {own}" for rank, (own, _) in error.failures.items()
        )
        raise CheckpointNotSaved(f"'{location}' was not saved: {failures}") from error


def delete_checkpoint(path: PathOrUrl, storage_options: Mapping[str, Any] | None = None) -> None:
    """Delete a checkpoint, if there is one. One rank calls this. If the process is killed meanwhile, nothing that
    looks like a checkpoint is left at the path.

    Args:
        path: a path or a URL.
        storage_options: for URLs, the options of fsspec's file system.
    """
    storage_at(path, storage_options).delete()
