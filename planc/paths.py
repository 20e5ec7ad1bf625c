"""Folders: those shipped with planc, `grammar/` and `plans/`, and the user's cache."""

from __future__ import annotations

import os
import stat

GRAPH_SUFFIX = ".graph.json.gz"
"""What the name of a graph file ends in."""
GRAPH_SUFFIXES = (GRAPH_SUFFIX, ".graph.json")
"""The same, for files that are not zipped too."""
_PACKAGE = os.path.dirname(os.path.abspath(__file__))


def shipped_path(folder: str, name: str = "") -> str:
    """The path of a shipped file. In a wheel the folders lie inside the package, in a
    checkout next to it."""
    inside = os.path.join(_PACKAGE, folder)
    base = inside if os.path.isdir(inside) else os.path.join(os.path.dirname(_PACKAGE), folder)
    return os.path.join(base, name)


def shipped_plans() -> list[str]:
    """The names of the plans shipped with planc."""
    names = os.listdir(shipped_path("plans"))
    return sorted(n.removesuffix(".plan") for n in names if n.endswith(".plan"))


def shipped_graphs() -> list[str]:
    """The names of the graphs shipped with planc."""
    names = os.listdir(shipped_path("plans"))
    return sorted(n.removesuffix(GRAPH_SUFFIX) for n in names if n.endswith(GRAPH_SUFFIX))


def cache_folder() -> str | None:
    """The cache folder, created where it is missing; None: there is none that only this user can
    write."""
    base = os.environ.get("PLANC_CACHE_DIR") or os.path.join(_user_cache(), "planc")
    try:
        os.makedirs(base, mode=0o700, exist_ok=True)
        found = os.stat(base)
    except OSError:
        return None
    # Windows has neither owner nor mode bits; its profile folder is private.
    if hasattr(os, "getuid"):
        shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if found.st_uid != os.getuid() or shared or not os.access(base, os.W_OK):
            return None
    return base


def _user_cache() -> str:
    named = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return named or os.path.join(os.path.expanduser("~"), ".cache")
