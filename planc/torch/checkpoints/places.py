"""Where checkpoints lie: in this machine's file system, or behind a URL."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from planc.ir.weights import WeightsError
from planc.torch.checkpoints.swap import delete, is_folder, put, sync

METADATA, META = ".metadata", "meta.pt"
_LOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")
"""How a URL begins that has been a path. A drive of Windows has one letter."""
Path_ = str | os.PathLike[str]


def place(path: Path_, options: Mapping[str, Any] | None = None) -> Local | Remote:
    """What a path or a URL means.

    Args:
        path: a path, or a URL of any scheme that fsspec knows.
        options: what fsspec is told of the file system; only for URLs.

    Raises:
        ValueError: a URL that has been made a path, which has lost one of its slashes; or options for
            a path.
    """
    text = os.fspath(path)
    if _LOST.match(text):
        raise ValueError(f"'{text}' was a URL before it was made a path: give it as a string")
    if "://" in text and not text.startswith("file://"):
        return Remote(text, dict(options or {}))
    text = text.removeprefix("file://")
    if options:
        raise ValueError(f"'{text}' is a path, and storage_options are for URLs")
    return Local(Path(text))


class Local:
    """A place for a checkpoint in this machine's file system.

    What is being written has another name, in the same folder. It is moved to its place when it is
    whole, in one step where the system can. Where it cannot, a folder that is replaced is put
    aside first; whoever finds no checkpoint at its place finds the one aside.
    """

    def __init__(self, path: Path) -> None:
        self.final = path
        self._aside = self._beside("old")

    def _beside(self, what: str) -> Path:
        return self.final.with_name(f".{self.final.name}.planc-{what}")

    def fresh(self, token: str) -> Path:
        """Where one save writes."""
        return self._beside(f"new-{token}")

    def prepare(self, token: str, full: bool) -> None:
        """Put right what killed runs have left here, and make a folder for what is written now.

        Raises:
            IsADirectoryError: a file would replace a folder that is no checkpoint.
        """
        if full and self.final.is_dir() and not is_checkpoint(self.final):
            raise IsADirectoryError(f"The checkpoint path exists and is a directory: {self.final}")
        self.final.parent.mkdir(parents=True, exist_ok=True)
        self._mend()
        if not full:
            self.fresh(token).mkdir()

    def commit(self, token: str) -> None:
        """Put what has been written in its place; it is on the disk by then, as it is after this."""
        fresh = self.fresh(token)
        sync(fresh)
        replaced = put(fresh, self.final, self._aside)
        sync(self.final.parent)
        if replaced is not None:
            self._retire(replaced)

    def discard(self, token: str) -> None:
        """Delete what was not written to its end."""
        delete(self.fresh(token))

    def remove(self) -> None:
        """Delete the checkpoint; killed meanwhile, no half of it stays at its place."""
        self._mend()
        if os.path.lexists(self.final):
            away = self.fresh("gone")
            os.rename(self.final, away)
            delete(away)

    def found(self) -> Path:
        """Where the checkpoint is, at its place or aside.

        Raises:
            WeightsError: nowhere.
        """
        for path in (self.final, self._aside):
            if path.exists():
                return path
        raise WeightsError(f"'{self.final}' does not point to a valid checkpoint: there is nothing")

    def _mend(self) -> None:
        if os.path.lexists(self._aside):
            if os.path.lexists(self.final):
                self._retire(self._aside)
            else:
                os.rename(self._aside, self.final)
        for path in self._left():
            self._retire(path)

    def _left(self) -> Iterator[Path]:
        """What saves have left that were killed."""
        start = self.fresh("").name
        if self.final.parent.is_dir():
            for name in os.listdir(self.final.parent):
                if name.startswith(start):
                    yield self.final.with_name(name)

    def _retire(self, old: Path) -> None:
        """Delete what was replaced. Other files that lay in a folder go into the new one."""
        if is_folder(old) and is_folder(self.final):
            for entry in old.iterdir():
                if not _of_checkpoints(entry.name) and not os.path.lexists(self.final / entry.name):
                    os.rename(entry, self.final / entry.name)
        delete(old)


class Remote:
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
        self.files, self.path = url_to_fs(self.url, **options)

    def at(self, name: str) -> str:
        """A file of the folder."""
        return f"{self.path}/{name}"

    def fresh(self, token: str) -> str:
        """Where one save of a file writes."""
        return f"{self.path}.planc-new-{token}"

    def is_folder(self) -> bool:
        """Whether a distributed checkpoint lies here."""
        return bool(self.files.exists(self.at(METADATA)))

    def prepare(self, full: bool) -> None:
        """See that one form of checkpoint does not replace the other, which is not one step here.

        Raises:
            IsADirectoryError: a file would replace a folder.
            FileExistsError: a folder would replace a file.
        """
        if full and self.files.isdir(self.path):
            raise IsADirectoryError(f"The checkpoint path exists and is a directory: {self.url}")
        if not full and self.files.isfile(self.path):
            raise FileExistsError(f"'{self.url}' is a file: a distributed checkpoint needs another name")
        if full:
            self._delete(name for name in self._beside() if name.startswith(self._last(self.fresh(""))))

    def commit_file(self, token: str) -> None:
        """Move a file that has been written to its place."""
        self.files.mv(self.fresh(token), self.path)

    def commit_folder(self, metadata: bytes, rest: bytes, token: str) -> None:
        """Make a folder's new files the checkpoint, and delete those of the one before."""
        self.files.pipe_file(self.at(meta_of(token)), rest)
        self.files.pipe_file(self.at(METADATA), metadata)
        # For those who know one name only.
        self.files.pipe_file(self.at(META), rest)
        for name in map(self._last, self.files.ls(self.path, detail=False)):
            if _of_checkpoints(name) and name not in (META, METADATA) and token not in name:
                self.files.rm_file(self.at(name))

    def remove(self) -> None:
        """Delete the checkpoint; first what makes it one."""
        if self.is_folder():
            self.files.rm_file(self.at(METADATA))
        if self.files.exists(self.path):
            self.files.rm(self.path, recursive=True)

    def _beside(self) -> Iterator[str]:
        parent = self.path.rpartition("/")[0]
        if self.files.isdir(parent):
            yield from map(self._last, self.files.ls(parent, detail=False))

    def _delete(self, names: Iterator[str]) -> None:
        parent = self.path.rpartition("/")[0]
        for name in list(names):
            self.files.rm_file(f"{parent}/{name}")

    @staticmethod
    def _last(path: str) -> str:
        return path.rstrip("/").rpartition("/")[2]


def is_checkpoint(folder: Path) -> bool:
    """Whether a folder is a distributed checkpoint."""
    return (folder / METADATA).is_file() or (folder / META).is_file()


def meta_of(token: str) -> str:
    """The name that `meta.pt` has for one save."""
    return f"meta-{token}.pt"


def _of_checkpoints(name: str) -> bool:
    """Whether a file in a folder is a part of a checkpoint."""
    return name in (META, METADATA, METADATA + ".tmp") or bool(
        re.fullmatch(r"__.+\.distcp|meta-.+\.pt", name)
    )
