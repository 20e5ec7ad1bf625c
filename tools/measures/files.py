"""Measures of files: what lies where, and how long it is."""

from __future__ import annotations

import ast

from tools.measures.codebase import Codebase


def checks_without_code(code: Codebase) -> list[str]:
    """Files among the checks that are pages alone."""
    return [
        code.name(path)
        for path in code.paths
        if path.parent == code.folder / "checks"
        and path.stem != "__init__"
        and not any(isinstance(n, ast.FunctionDef | ast.ClassDef) for n in code.trees[path].body)
    ]


def loose_torch_files(code: Codebase) -> list[str]:
    """Files of `torch/` that lie in none of its folders."""
    return [
        code.name(path)
        for path in code.paths
        if path.parent == code.folder / "torch" and path.name not in ("__init__.py", "compat.py")
    ]


def lines_for_tests_alone(code: Codebase) -> list[str]:
    """Lines of the package that tests alone use."""
    return [
        line
        for path in code.paths
        if code.part(path) in ("mutate", "mutation")
        for line in path.read_text("utf-8").splitlines()
    ]


def file_sizes(code: Codebase) -> list[str]:
    """The lines of each file, the longest first."""
    sizes = ((len(path.read_text("utf-8").splitlines()), code.name(path)) for path in code.paths)
    return [f"{size} {name}" for size, name in sorted(sizes, reverse=True)]
