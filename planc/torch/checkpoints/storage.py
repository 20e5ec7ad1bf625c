"""Where checkpoints lie: in this machine's file system, or behind a URL."""

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
"""How a URL begins that has been a path. A drive of Windows has one letter."""
PathOrUrl = str | os.PathLike[str]


def storage_at(path: PathOrUrl, options: Mapping[str, Any] | None = None) -> LocalStorage | RemoteStorage:
    """What a path or a URL means.

    Args:
        path: a path, or a URL of any scheme that fsspec knows.
        options: what fsspec is told of the file system; only for URLs.

    Raises:
        ValueError: a URL that has been made a path, which has lost one of its slashes; or options for
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
    """A place for a checkpoint in this machine's file system.

    What is being written has another name, in the same folder. It is moved to its place when it is
    whole, in one step where the system can. Where it cannot, a folder that is replaced is put
    aside first; whoever finds no checkpoint at its place finds the one aside.
    """

    def __init__(self, path: Path) -> None:
        self.final = path
        self._backup = self._hidden_sibling("old")

    def _hidden_sibling(self, what: str) -> Path:
        return self.final.with_name(f".{self.final.name}.planc-{what}")

    def staging_path(self, token: str) -> Path:
        """Where one save writes."""
        return self._hidden_sibling(f"new-{token}")

    def prepare(self, token: str, full: bool) -> None:
        """Put right what killed runs have left here, and make a folder for what is written now.

        Raises:
            IsADirectoryError: a file would replace a folder that is no checkpoint.
        """
        if full and self.final.is_dir() and not is_distributed_checkpoint(self.final):
            raise IsADirectoryError(f"The checkpoint path exists and is a directory: {self.final}")
        self.final.parent.mkdir(parents=True, exist_ok=True)
        self._recover()
        if not full:
            self.staging_path(token).mkdir()

    def commit(self, token: str) -> None:
        """Put what has been written in its place; it is on the disk by then, as it is after this."""
        fresh = self.staging_path(token)
        fsync_path(fresh)
        replaced = move_into_place(fresh, self.final, self._backup)
        fsync_path(self.final.parent)
        if replaced is not None:
            self._retire(replaced)

    def discard(self, token: str) -> None:
        """Delete what was not written to its end."""
        delete_path(self.staging_path(token))

    def delete(self) -> None:
        """Delete the checkpoint; killed meanwhile, no half of it stays at its place."""
        self._recover()
        if os.path.lexists(self.final):
            away = self.staging_path("gone")
            os.rename(self.final, away)
            delete_path(away)

    def locate(self) -> Path:
        """Where the checkpoint is, at its place or aside.

        Raises:
            WeightsError: nowhere.
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
        """What saves have left that were killed."""
        start = self.staging_path("").name
        if self.final.parent.is_dir():
            for name in os.listdir(self.final.parent):
                if name.startswith(start):
                    yield self.final.with_name(name)

    def _retire(self, old: Path) -> None:
        """Delete what was replaced. Other files that lay in a folder go into the new one."""
        if is_real_folder(old) and is_real_folder(self.final):
            for entry in old.iterdir():
                if not _is_checkpoint_file(entry.name) and not os.path.lexists(self.final / entry.name):
                    os.rename(entry, self.final / entry.name)
        delete_path(old)


class RemoteStorage:
    """A place for a checkpoint behind a URL: S3 and the like, or any file system that fsspec knows.

    Objects cannot be moved together, so each save of a folder gives its files names of their own, beside
    those of the last one. The one file `.metadata` says which belong together: it is written last, in
    one piece, and then the others are deleted. A file is written under another name, and moved.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        try:
            from fsspec.core import url_to_fs  # type: ignore[import-untyped]
        except ImportError:
            raise WeightsError(f"'{url}' is a URL: to reach it, install the package fsspec") from None
        self.url, self.options = url.rstrip("/"), options
        self.filesystem, self.path = url_to_fs(self.url, **options)

    def file_path(self, name: str) -> str:
        """A file of the folder."""
        return f"{self.path}/{name}"

    def staging_path(self, token: str) -> str:
        """Where one save of a file writes."""
        return f"{self.path}.planc-new-{token}"

    def is_distributed(self) -> bool:
        """Whether a distributed checkpoint lies here."""
        return bool(self.filesystem.exists(self.file_path(METADATA_FILE)))

    def prepare(self, full: bool) -> None:
        """See that one form of checkpoint does not replace the other, which is not one step here.

        Raises:
            IsADirectoryError: a file would replace a folder.
            FileExistsError: a folder would replace a file.
        """
        if full and self.filesystem.isdir(self.path):
            raise IsADirectoryError(f"The checkpoint path exists and is a directory: {self.url}")
        if not full and self.filesystem.isfile(self.path):
            raise FileExistsError(f"'{self.url}' is a file: a distributed checkpoint needs another name")
        if full:
            self._delete_siblings(
                name
                for name in self._sibling_names()
                if name.startswith(self._basename(self.staging_path("")))
            )

    def commit_file(self, token: str) -> None:
        """Move a file that has been written to its place."""
        self.filesystem.mv(self.staging_path(token), self.path)

    def commit_folder(self, metadata: bytes, rest: bytes, token: str) -> None:
        """Make a folder's new files the checkpoint, and delete those of the one before."""
        self.filesystem.pipe_file(self.file_path(meta_file_name(token)), rest)
        self.filesystem.pipe_file(self.file_path(METADATA_FILE), metadata)
        # For those who know one name only.
        self.filesystem.pipe_file(self.file_path(META_FILE), rest)
        for name in map(self._basename, self.filesystem.ls(self.path, detail=False)):
            if _is_checkpoint_file(name) and name not in (META_FILE, METADATA_FILE) and token not in name:
                self.filesystem.rm_file(self.file_path(name))

    def delete(self) -> None:
        """Delete the checkpoint; first what makes it one."""
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
    """The name that `meta.pt` has for one save."""
    return f"meta-{token}.pt"


def _is_checkpoint_file(name: str) -> bool:
    """Whether a file in a folder is a part of a checkpoint."""
    return name in (META_FILE, METADATA_FILE, METADATA_FILE + ".tmp") or bool(
        re.fullmatch(r"__.+\.distcp|meta-.+\.pt", name)
    )
