"""The measure of private names of other libraries."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

from tools.measures.codebase import Codebase

LIBRARIES = (
    "torch",
    "transformers",
    "lightning",
    "lightning_fabric",
    "lightning_utilities",
    "pytorch_lightning",
)
PUBLIC = {"_asdict", "_exit", "_fields", "_make", "_replace"}
"""Documented names of named tuples and of `os`."""


def private_names(code: Codebase) -> list[str]:
    """Names of torch, transformers and Lightning that begin with an underscore, outside a `compat.py`."""
    own = {name for path in code.paths for name in defined_names(code.trees[path])} | PUBLIC
    found: dict[str, set[str]] = defaultdict(set)
    for path in code.paths:
        if path.name != "compat.py" and code.part(path).partition(".")[0] in ("torch", "lightning"):
            for name in used_names(code.trees[path]):
                if name.startswith("_") and not name.startswith("__") and name not in own:
                    found[name].add(code.name(path))
    return [f"{name}: {', '.join(sorted(files))}" for name, files in sorted(found.items())]


def defined_names(tree: ast.AST) -> Iterator[str]:
    """Names that a file defines: functions, classes, variables, fields, attributes of `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and ast.unparse(node.value) == "self"
        ):
            yield node.attr


def used_names(tree: ast.AST) -> Iterator[str]:
    """Names of attributes and of imports from the libraries, those in `getattr` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Import):
            yield from (step for alias in node.names for step in alias.name.split("."))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in LIBRARIES:
            yield from (node.module or "").split(".")
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr", "setattr"):
            yield from (str(one.value) for one in node.args[1:2] if isinstance(one, ast.Constant))
