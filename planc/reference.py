"""References of rows to functions and tables of later stages, as `package.module:NAME`."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any


@cache
def load_reference(reference: str) -> Any:
    """The object that a reference names; its module is imported on first use."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
