"""The chain of plans that a plan extends."""

from __future__ import annotations

import os
import re
import stat

from planc.closest import closest_match, join_names
from planc.ir.document import Document
from planc.paths import shipped_path, shipped_plans
from planc.resolve.diagnostic_sink import DiagnosticSink

MAX_EXTENDS = 32
"""Plans in a chain, each of which extends the next."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def extends_chain(document: Document, sink: DiagnosticSink) -> tuple[Document, ...]:
    """The plan, the one it extends, and so on. planc reads no files outside the tree of the first plan's
    folder, except those that it ships."""
    documents = [document]
    seen = {_identity(document.source.name)}
    while (reference := documents[-1].plan.extends) is not None:
        path = _resolve_reference(reference, documents[-1], sink)
        if path is None:
            break
        identity = _identity(path)
        if identity in seen:
            names = " -> ".join(d.source.name for d in documents)
            sink.report("E502", documents[-1].label(("extends",), "extends itself"),
                       "a plan extends itself", f"chain: {names} -> {path}")  # fmt: skip
            break
        if len(documents) == MAX_EXTENDS:
            sink.report("S006", documents[-1].label(("extends",)), "the chain of extended plans is too long",
                       f"needed: at most {MAX_EXTENDS} plans")  # fmt: skip
            break
        seen.add(identity)
        from planc.syntax.read_file import PlanFileError, read_path  # reading a plan resolves none

        try:
            documents.append(read_path(path, documents[-1].source.folder))
        except PlanFileError as bad:
            sink.report(
                "E501", documents[-1].label(("extends",)), "the plan to extend cannot be read", f"got: {bad}"
            )
            break
    for base in documents[1:]:
        sink.diagnostics.extend(base.diagnostics)
    return tuple(documents)


def _identity(name: str) -> str:
    return os.path.realpath(name)


def _resolve_reference(reference: str, document: Document, sink: DiagnosticSink) -> str | None:
    """The path of the plan that `extends` names; None: there is none, which is reported."""
    label = document.label(("extends",))
    if _NAME.fullmatch(reference):
        path = shipped_path("plans", f"{reference}.plan")
        if os.path.isfile(path):
            return path
        known = shipped_plans()
        meant = closest_match(reference, known)
        help_ = (
            f"help: did you mean '{meant}'?"
            if meant
            else f'help: a file is named in quotes: extends "{reference}.plan"'
        )
        sink.report(
            "E501",
            label,
            f"planc ships no plan named '{reference}'",
            f"needed: {join_names(known)}, or a file in quotes",
            help_,
        )
        return None
    folder = document.source.folder
    if not reference.strip():
        sink.report("E501", label, "'extends' names no plan", "needed: a file in quotes, or a shipped plan")
        return None
    if folder is None:
        sink.report("E503", label, "a plan that is not in a folder cannot extend a file",
                   "needed: the name of a plan shipped with planc")  # fmt: skip
        return None
    path = os.path.join(plan_directory(document, folder), reference)
    if "\0" in reference or not _within(path, folder):
        sink.report("E503", label, "a plan can only extend files below its own folder",
                   f"needed: a file below {folder}", "help: move the base plan there")  # fmt: skip
        return None
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        names = [
            n for n in _listing(os.path.dirname(path)) if n.endswith((".plan", ".json", ".yaml", ".yml"))
        ]
        meant = closest_match(os.path.basename(reference), names)
        did_you_mean = (f"help: did you mean '{meant}'?",) if meant else ()
        sink.report(
            "E501", label, f"there is no file '{reference}' next to this plan", f"got: {path}", *did_you_mean
        )
        return None
    if not regular:
        sink.report("E501", label, f"'{reference}' is not a file", f"got: {path}")
        return None
    return os.path.relpath(path) if not os.path.isabs(document.source.name) else path


def plan_directory(document: Document, folder: str) -> str:
    """The folder in which a plan looks for the files that it names."""
    name = document.source.name
    return os.path.dirname(os.path.abspath(name)) if os.path.isfile(name) else folder


def _within(path: str, folder: str) -> bool:
    """Whether a path is in the tree of a folder, with links followed."""
    real, root = os.path.realpath(path), os.path.realpath(folder)
    return real.startswith(os.path.join(root, ""))


def _listing(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
