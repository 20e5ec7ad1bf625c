"""Measures of who imports whom."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tools.measures.codebase import Codebase

ORDER = tuple(
    re.findall(
        r"\S+",
        """
        ir paths regular_files version reference closest syntax resolve bind graph checks proof fixes verdict
        check_result forecast lower torch torch.models torch.capture torch.apply torch.weights
        torch.train torch.checkpoints compile prepare_plan torch.verify report api __init__ lightning
        cli commands __main__
        """,
    )
)
"""The parts of planc as data flows through them: a part imports those that stand before it."""
EXCUSED = {
    ("graph", "torch.capture"): "the model of a plan may not be captured yet",
}
"""Imports of a later part inside functions, each with its reason."""


def import_circles(code: Codebase) -> list[str]:
    """Files that import each other, at whatever time they do it."""
    graph = {path: list(found) for path, found in code.imports.items()}
    found = [sorted(map(code.name, one)) for one in strong_components(graph) if len(one) > 1]
    return [f"{len(one)} files: {', '.join(one)}" for one in sorted(found)]


def strong_components(graph: dict[Path, list[Path]]) -> Iterator[list[Path]]:
    """Strongly connected components, by the algorithm of Tarjan (SIAM J. Comput. 1, 1972)."""
    index: dict[Path, int] = {}
    low: dict[Path, int] = {}
    stack: list[Path] = []

    def visit(node: Path) -> Iterator[list[Path]]:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                yield from visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            start = stack.index(node)
            component = stack[start:]
            del stack[start:]
            yield component

    for node in graph:
        if node not in index:
            yield from visit(node)


def against_the_flow(code: Codebase) -> list[str]:
    """Pairs of parts of which the earlier one imports the later one."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for path, others in code.imports.items():
        for other in others:
            pair = code.part(path), code.part(other)
            if position(pair[0]) < position(pair[1]):
                found[pair].add(code.name(path))
    return [f"{a} -> {b} in {', '.join(sorted(files))}" for (a, b), files in sorted(found.items())]


def position(part: str) -> int:
    """Where a part stands in the flow. A part that `ORDER` does not name stands first, so that its imports show."""
    return ORDER.index(part) if part in ORDER else -1


def imports_outside_ir(code: Codebase) -> list[str]:
    """Imports of other parts by the records of `ir/`."""
    return [
        f"{code.name(path)} imports {code.name(other)}"
        for path, others in code.imports.items()
        for other in others
        if code.part(path) == "ir" != code.part(other)
    ]
