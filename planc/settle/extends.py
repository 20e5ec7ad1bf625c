"""The chain of plans that a plan extends."""

from __future__ import annotations

import os
import re
import stat

from planc.ir.document import Document
from planc.near import listed, nearest
from planc.paths import shipped, shipped_plans
from planc.settle.faults import Faults

MAX_CHAIN = 32
"""Plans that one plan may extend, one through the other."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def chain(document: Document, faults: Faults) -> tuple[Document, ...]:
    """The plan, the one it extends, and so on. Files outside the tree of the first
    plan's folder are not read; plans shipped with planc are."""
    documents = [document]
    seen = {_identity(document.source.name)}
    while (reference := documents[-1].plan.extends) is not None:
        path = _find(reference, documents[-1], faults)
        if path is None:
            break
        identity = _identity(path)
        if identity in seen:
            names = " -> ".join(d.source.name for d in documents)
            faults.add("E502", documents[-1].label(("extends",), "extends itself"),
                       "a plan extends itself", f"chain: {names} -> {path}")  # fmt: skip
            break
        if len(documents) == MAX_CHAIN:
            faults.add("S006", documents[-1].label(("extends",)), "the chain of extended plans is too long",
                       f"needed: at most {MAX_CHAIN} plans")  # fmt: skip
            break
        seen.add(identity)
        from planc.read import Unreadable, read_path  # reading a plan settles none

        try:
            documents.append(read_path(path, documents[-1].source.folder))
        except Unreadable as bad:
            faults.add(
                "E501", documents[-1].label(("extends",)), "the plan to extend cannot be read", f"got: {bad}"
            )
            break
    for base in documents[1:]:
        faults.found.extend(base.faults)
    return tuple(documents)


def _identity(name: str) -> str:
    return os.path.realpath(name)


def _find(reference: str, document: Document, faults: Faults) -> str | None:
    """The file that `extends` names, or None with the fault said."""
    label = document.label(("extends",))
    if _NAME.fullmatch(reference):
        path = shipped("plans", f"{reference}.plan")
        if os.path.isfile(path):
            return path
        known = shipped_plans()
        meant = nearest(reference, known)
        help_ = (
            f"help: did you mean '{meant}'?"
            if meant
            else f'help: a file is named in quotes: extends "{reference}.plan"'
        )
        faults.add(
            "E501",
            label,
            f"planc ships no plan named '{reference}'",
            f"needed: {listed(known)}, or a file in quotes",
            help_,
        )
        return None
    folder = document.source.folder
    if not reference.strip():
        faults.add(
            "E501", label, "this names no plan to extend", "needed: a file in quotes, or a shipped plan"
        )
        return None
    if folder is None:
        faults.add("E503", label, "a plan without a folder of its own extends no file",
                   "needed: the name of a plan shipped with planc")  # fmt: skip
        return None
    path = os.path.join(beside(document, folder), reference)
    if "\0" in reference or not _within(path, folder):
        faults.add("E503", label, "a plan extends files of its own folder tree only",
                   f"needed: a file below {folder}", "help: move the base plan there")  # fmt: skip
        return None
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        names = [
            n for n in _listing(os.path.dirname(path)) if n.endswith((".plan", ".json", ".yaml", ".yml"))
        ]
        meant = nearest(os.path.basename(reference), names)
        near = (f"help: did you mean '{meant}'?",) if meant else ()
        faults.add("E501", label, f"there is no file '{reference}' beside this plan", f"got: {path}", *near)
        return None
    if not regular:
        faults.add("E501", label, f"'{reference}' is not a file", f"got: {path}")
        return None
    return os.path.relpath(path) if not os.path.isabs(document.source.name) else path


def beside(document: Document, folder: str) -> str:
    """The folder in which a plan looks for the files that it names."""
    name = document.source.name
    return os.path.dirname(os.path.abspath(name)) if os.path.isfile(name) else folder


def _within(path: str, folder: str) -> bool:
    """Whether a path, links followed, lies in the tree of a folder."""
    real, root = os.path.realpath(path), os.path.realpath(folder)
    return real.startswith(os.path.join(root, ""))


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
