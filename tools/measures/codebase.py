"""The files of a package, parsed: what the measures of `tools/house.py` read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path


class Codebase:
    """The files of a package, parsed."""

    def __init__(self, root: Path, package: str = "planc") -> None:
        self.root, self.folder = root, root / package
        self.paths = sorted(self.folder.rglob("*.py"))
        self.trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in self.paths}

    def name(self, path: Path) -> str:
        """A file or folder by its path in the package, as `syntax/parser.py`."""
        return path.relative_to(self.folder).as_posix()

    @cached_property
    def modules(self) -> dict[str, Path]:
        """The files by the names that they are imported by."""
        found = {}
        for path in self.paths:
            parts = path.relative_to(self.root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
        return found

    def part(self, path: Path) -> str:
        """The part that a file belongs to: a folder or a file of the package, and in `torch/` a folder there."""
        first, *rest = path.relative_to(self.folder).parts
        return f"torch.{rest[0]}" if first == "torch" and len(rest) > 1 else first.removesuffix(".py")

    @cached_property
    def imports(self) -> dict[Path, dict[Path, bool]]:
        """The files that each file imports, and whether it does so as soon as it is loaded."""
        return {path: self._imports(path) for path in self.paths}

    def _imports(self, path: Path) -> dict[Path, bool]:
        found: dict[Path, bool] = {}
        for name, is_eager in imported_names(self.trees[path]):
            while name and name not in self.modules:
                name = name.rpartition(".")[0]
            other = self.modules.get(name, path)
            if other != path:
                found[other] = is_eager or found.get(other, False)
        return found

    def public_definitions(self, path: Path) -> Iterator[ast.FunctionDef | ast.ClassDef]:
        """The public functions and classes of a file."""
        for node in self.trees[path].body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                yield node

    @cached_property
    def functions(self) -> list[tuple[Path, ast.FunctionDef]]:
        """All functions and methods, nested ones too."""
        return [(p, n) for p in self.paths for n in ast.walk(self.trees[p]) if isinstance(n, ast.FunctionDef)]


def imported_names(tree: ast.AST, is_eager: bool = True) -> Iterator[tuple[str, bool]]:
    """The names that a file imports, as `package.module.name`, and whether it does so as soon as it is loaded."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, is_eager) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", is_eager) for alias in node.names)
        else:
            is_typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            is_lazy = is_typing_only or isinstance(node, ast.FunctionDef)
            yield from imported_names(node, is_eager and not is_lazy)


def string_constants(node: ast.AST) -> Iterator[str]:
    """The texts that stand in a piece of code."""
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value
