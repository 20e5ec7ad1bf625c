"""The storage of checkpoints: this machine's file system, or a URL."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from planc.ir.errors import WeightsError
from planc.torch.checkpoints.atomic_rename import delete_path, fsync_path, is_real_folder, move_into_place

METADATA_FILE, META_FILE = ".metadata", "meta.pt"
_MANGLED_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")
"""How a URL begins that went through `pathlib`. A Windows drive has one letter."""
PathOrUrl = str | os.PathLike[str]


def storage_at(path: PathOrUrl, options: Mapping[str, Any] | None = None) -> LocalStorage | RemoteStorage:
    """The storage of a path or a URL.

    Args:
        path: a path, or a URL of any scheme that fsspec knows.
        options: for URLs alone, the options of fsspec's file system.

    Raises:
        ValueError: a URL that was made a `pathlib.Path`, and has lost one of its slashes; or options for
            a path.
    """
    text = os.fspath(path)
    if _MANGLED_URL.match(text):
        raise ValueError(f"'{text}' was a URL before it was made a path: give it as a string")
    if "://" in text and not text.startswith("file://"):
        return RemoteStorage(text, dict(options or {}))
    text = text.removeprefix("file://")
    if options:
        raise ValueError(f"'{text}' is a path, and storage_options are for URLs")
    return LocalStorage(Path(text))


class LocalStorage:
    """A checkpoint in this machine's file system.

    A save writes to a staging path in the same folder, and then moves the result to its final path, atomically
    where the system can. Where it cannot, a folder that is replaced is first moved to a backup path; a reader
    that finds nothing at the final path takes the backup.
    """

    def __init__(self, path: Path) -> None:
        self.final = path
        self._backup = self._hidden_sibling("old")

    def _hidden_sibling(self, suffix: str) -> Path:
        return self.final.with_name(f".{self.final.name}.planc-{suffix}")

    def staging_path(self, token: str) -> Path:
        """Where one save writes."""
        return self._hidden_sibling(f"new-{token}")

    def prepare(self, token: str, full: bool) -> None:
        """Clean up after killed saves, and make the folder of this one.

        Raises:
            IsADirectoryError: a file would replace a folder that is not a checkpoint.
        """
        if full and self.final.is_dir() and not is_distributed_checkpoint(self.final):
            raise IsADirectoryError(f"The checkpoint path exists and is a directory: {self.final}")
        self.final.parent.mkdir(parents=True, exist_ok=True)
        self._recover()
        if not full:
            self.staging_path(token).mkdir()

    def commit(self, token: str) -> None:
        """Move what a save has written to the final path. When this returns, all of it is on the disk."""
        staged = self.staging_path(token)
        fsync_path(staged)
        replaced = move_into_place(staged, self.final, self._backup)
        fsync_path(self.final.parent)
        if replaced is not None:
            self._retire(replaced)

    def discard(self, token: str) -> None:
        """Delete what a failed save has written."""
        delete_path(self.staging_path(token))

    def delete(self) -> None:
        """Delete the checkpoint. If the process is killed meanwhile, no part of it stays at the final path."""
        self._recover()
        if os.path.lexists(self.final):
            renamed = self.staging_path("gone")
            os.rename(self.final, renamed)
            delete_path(renamed)

    def locate(self) -> Path:
        """The path of the checkpoint: the final one, or the backup.

        Raises:
            WeightsError: there is neither.
        """
        for path in (self.final, self._backup):
            if path.exists():
                return path
        raise WeightsError(f"'{self.final}' does not point to a valid checkpoint: there is nothing")

    def _recover(self) -> None:
        if os.path.lexists(self._backup):
            if os.path.lexists(self.final):
                self._retire(self._backup)
            else:
                os.rename(self._backup, self.final)
        for path in self._stale_paths():
            self._retire(path)

    def _stale_paths(self) -> Iterator[Path]:
        """What killed saves have left."""
        prefix = self.staging_path("").name
        if self.final.parent.is_dir():
            for name in os.listdir(self.final.parent):
                if name.startswith(prefix):
                    yield self.final.with_name(name)

    def _retire(self, old: Path) -> None:
        """Delete what was replaced. Files of the user that were in the old folder move into the new one."""
        if is_real_folder(old) and is_real_folder(self.final):
            for entry in old.iterdir():
                if not _is_checkpoint_file(entry.name) and not os.path.lexists(self.final / entry.name):
                    os.rename(entry, self.final / entry.name)
        delete_path(old)


class RemoteStorage:
    """A checkpoint behind a URL: S3 and the like, or any file system that fsspec knows.

    Objects cannot be moved together, so each save of a folder gives its files new names, next to the files of the
    last save. The file `.metadata` lists those that belong together: it is written last, in one piece, and
    then the old files are deleted. A single file is written under another name, and moved.

    Raises:
        WeightsError: the package fsspec is missing.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        try:
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]
        except ImportError:
            raise WeightsError(f"'{url}' is a URL: to reach it, install the package fsspec") from None
        self.url, self.options = url.rstrip("/"), options
        self.filesystem, self.path = url_to_fs(self.url, **options)

    def file_path(self, name: str) -> str:
        """The path of a file of the folder."""
        return f"{self.path}/{name}"

    def staging_path(self, token: str) -> str:
        """Where one save of a file writes."""
        return f"{self.path}.planc-new-{token}"

    def is_distributed(self) -> bool:
        """Whether there is a distributed checkpoint."""
        return bool(self.filesystem.exists(self.file_path(METADATA_FILE)))

    def prepare(self, full: bool) -> None:
        """Check that a checkpoint of one format does not replace one of the other, which cannot be done
        atomically here; and clean up after killed saves of a file.

        Raises:
            IsADirectoryError: a file would replace a folder.
            FileExistsError: a folder would replace a file.
        """
        if full and self.filesystem.isdir(self.path):
            raise IsADirectoryError(f"The checkpoint path exists and is a directory: {self.url}")
        if not full and self.filesystem.isfile(self.path):
            raise FileExistsError(f"'{self.url}' is a file: a distributed checkpoint needs another name")
        if full:
            prefix = self._basename(self.staging_path(""))
            self._delete_siblings(name for name in self._sibling_names() if name.startswith(prefix))

    def commit_file(self, token: str) -> None:
        """Move a file that was written to its final path."""
        self.filesystem.mv(self.staging_path(token), self.path)

    def commit_folder(self, metadata: bytes, rest: bytes, token: str) -> None:
        """Make the new files of a folder the checkpoint, and delete the old ones."""
        self.filesystem.pipe_file(self.file_path(meta_file_name(token)), rest)
        self.filesystem.pipe_file(self.file_path(METADATA_FILE), metadata)
        # For readers that know this name alone.
        self.filesystem.pipe_file(self.file_path(META_FILE), rest)
        for name in map(self._basename, self.filesystem.ls(self.path, detail=False)):
            if _is_checkpoint_file(name) and name not in (META_FILE, METADATA_FILE) and token not in name:
                self.filesystem.rm_file(self.file_path(name))

    def delete(self) -> None:
        """Delete the checkpoint; first the file without which it is none."""
        if self.is_distributed():
            self.filesystem.rm_file(self.file_path(METADATA_FILE))
        if self.filesystem.exists(self.path):
            self.filesystem.rm(self.path, recursive=True)

    def _sibling_names(self) -> Iterator[str]:
        parent = self.path.rpartition("/")[0]
        if self.filesystem.isdir(parent):
            yield from map(self._basename, self.filesystem.ls(parent, detail=False))

    def _delete_siblings(self, names: Iterator[str]) -> None:
        parent = self.path.rpartition("/")[0]
        for name in list(names):
            self.filesystem.rm_file(f"{parent}/{name}")

    @staticmethod
    def _basename(path: str) -> str:
        return path.rstrip("/").rpartition("/")[2]


def is_distributed_checkpoint(folder: Path) -> bool:
    """Whether a folder is a distributed checkpoint."""
    return (folder / METADATA_FILE).is_file() or (folder / META_FILE).is_file()


def meta_file_name(token: str) -> str:
    """The name of `meta.pt` in one save to a URL."""
    return f"meta-{token}.pt"


def _is_checkpoint_file(name: str) -> bool:
    """Whether a file in a folder belongs to a checkpoint."""
    return name in (META_FILE, METADATA_FILE, METADATA_FILE + ".tmp") or bool(
        re.fullmatch(r"__.+\.distcp|meta-.+\.pt", name)
    )
