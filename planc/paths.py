"""Files shipped with planc: `grammar/` and `plans/`."""

from __future__ import annotations

import os

_PACKAGE = os.path.dirname(os.path.abspath(__file__))


def shipped(folder: str, name: str = "") -> str:
    """The path of a shipped file. In a wheel the folders lie inside the package, in a
    checkout beside it."""
    inside = os.path.join(_PACKAGE, folder)
    base = inside if os.path.isdir(inside) else os.path.join(os.path.dirname(_PACKAGE), folder)
    return os.path.join(base, name)


def shipped_plans() -> list[str]:
    """The names of the plans shipped with planc."""
    names = os.listdir(shipped("plans"))
    return sorted(n.removesuffix(".plan") for n in names if n.endswith(".plan"))
