"""Files to documents: text, JSON and YAML."""

from __future__ import annotations

import errno
import os
import sys

from planc.ir.diagnostic import Label, diagnostic
from planc.ir.document import Document
from planc.ir.plan import Plan
from planc.ir.source import Source, Span
from planc.paths import shipped_path, shipped_plans
from planc.regular_files import open_regular_file

MAX_BYTES = 16 << 20
"""Of a plan."""

_FORMATS = {".json": "json", ".yaml": "yaml", ".yml": "yaml"}


class PlanFileError(Exception):
    """A file that cannot be read; the message says why."""


def read_path(path: str, folder: str | None = None) -> Document:
    """Read a plan from a file, or from standard input where the path is `-`.

    Args:
        path: a `.plan` file, or the name of a plan shipped with planc; `.json`, `.yaml` and
            `.yml` are read as the data form.
        folder: the folder whose tree `extends` may read; by default the file's own.

    Raises:
        PlanFileError: there is no such file, or it cannot be read.
    """
    path = _shipped_or_file(path)
    if path == "-":
        data, name, own = sys.stdin.buffer.read(MAX_BYTES + 1), "<stdin>", os.getcwd()
    else:
        data, name = _read_limited(path), path
        own = os.path.dirname(os.path.abspath(path))
    format_ = _FORMATS.get(os.path.splitext(path)[1].lower(), "text")
    if path == "-" and data.lstrip()[:1] == b"{":
        format_ = "json"  # the text of a plan never begins like this
    return read_bytes(data, name, format_, folder or own)


def _shipped_or_file(path: str) -> str:
    """The path of the shipped plan of this name, unless there is a file of that name."""
    if path.isidentifier() and not os.path.exists(path) and path in shipped_plans():
        return shipped_path("plans", f"{path}.plan")
    return path


def read_bytes(data: bytes, name: str, format_: str = "text", folder: str | None = None) -> Document:
    """Read a plan from the bytes of a file."""
    if len(data) > MAX_BYTES:
        return _unreadable(Source(name, "", format_, folder), "S006", Span(0, 0), "this plan is too large",
                        f"needed: at most {MAX_BYTES >> 20} MiB")  # fmt: skip
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as bad:
        text = data.decode("utf-8", "replace")
        at = len(data[: bad.start].decode("utf-8-sig"))
        return _unreadable(Source(name, text, format_, folder), "S003", Span(at, at + 1),
                        f"byte 0x{data[bad.start]:02x} is not UTF-8 text", "needed: UTF-8")  # fmt: skip
    return read_source(Source(name, text, format_, folder))


def read_source(source: Source) -> Document:
    """Read a plan from a text in any form."""
    if source.format == "text":
        from planc.syntax.read_text import read_text

        return read_text(source)
    from planc.syntax.data.read_data import read_data

    return read_data(source)


def _read_limited(path: str) -> bytes:
    try:
        with open_regular_file(path) as file:
            return file.read(MAX_BYTES + 1)
    except OSError as bad:
        meant = _similar_path(path) if isinstance(bad, FileNotFoundError) else None
        hint = f"; did you mean '{meant}'?" if meant else ""
        if bad.errno == errno.ESPIPE:
            hint = "; the name - reads standard input"
        raise PlanFileError(f"{path or repr(path)}: {(bad.strerror or str(bad)).lower()}{hint}") from None
    except ValueError:  # a NUL in the name
        raise PlanFileError(f"{path!r}: not a file name") from None


def _similar_path(path: str) -> str | None:
    """The shipped plan, or the file in the same folder, with the most similar name."""
    from planc.closest import closest_match

    folder, file = os.path.split(path)
    name = os.path.splitext(file)[0]
    if not folder and (found := closest_match(file, shipped_plans())):
        return found
    try:
        every = os.listdir(folder or ".")
    except OSError:
        return None
    files = {os.path.splitext(each)[0]: each for each in every if each.endswith((".plan", *_FORMATS))}
    meant = name if name in files else closest_match(name, files)
    return os.path.join(folder, files[meant]) if meant else None


def _unreadable(source: Source, code: str, span: Span, message: str, note: str) -> Document:
    """The document of a file that is not even a text: an empty plan."""
    error = diagnostic(code, Label(source, span), message, note)
    return Document(source, Plan(), lambda _: Span(0, 0), (error,))
