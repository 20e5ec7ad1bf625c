"""Which part of planc may know which: data flows one way, and libraries have one home."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "planc"

# A part, and the parts of planc that it may import. `near` and `paths` are leaves that any may use.
MAY_IMPORT: dict[str, set[str]] = {
    "ir": {"blocks", "data", "text"},  # blocks: the schema's union; data, text: see LATE
    "near": set(),
    "graphs": {"checks", "ir", "near", "paths", "settle", "torch", "__init__"},  # torch: see LATE
    "prepare_plan": {"compile", "ir", "lower", "torch"},
    "torch": {"checks", "compile", "graphs", "ir", "lower", "near", "resolve", "settle"},
    "paths": set(),
    "styles": {"ir"},
    "matching": {"ir"},
    "resolve": {"blocks", "ir", "matching", "near", "styles"},
    "blocks": {"ir", "near", "styles", "text"},
    "text": {"blocks", "checks", "ir", "near", "paths"},
    "data": {"checks", "ir", "near", "text"},
    "read": {"checks", "data", "ir", "near", "paths", "text"},
    "settle": {"blocks", "checks", "ir", "near", "paths", "read"},
    "checks": {"blocks", "ir", "matching", "near", "paths", "resolve", "settle", "styles"},
    "mend": {"ir", "read"},
    "layouts": {"blocks", "checks", "ir", "near", "resolve", "styles"},
    "forecast": {"ir", "layouts", "resolve"},
    "lower": {"ir", "layouts", "resolve"},
    "skips": {"checks", "ir", "layouts"},
    "compile": {"checks", "ir", "layouts", "mend", "resolve", "settle", "skips"},
    "report": {"blocks", "checks", "compile", "forecast", "ir", "layouts", "resolve", "text", "__init__"},
    "commands": {
        "checks",
        "cli",
        "compile",
        "data",
        "graphs",
        "ir",
        "mend",
        "near",
        "read",
        "report",
        "settle",
    }
    | {"text", "torch"},
    "lightning": {"api", "graphs", "prepare_plan", "ir", "read", "report", "settle", "torch"},
    # A command of its own beside `planc`, and for those who work on planc: it judges as `planc check` does.
    "mutate": {"blocks", "cli", "commands", "compile", "graphs", "ir", "matching", "read"}
    | {"report", "resolve", "settle", "styles", "text"},
    "api": {"compile", "data", "graphs", "ir", "prepare_plan", "read", "report", "settle", "text", "torch"},
    "cli": {"near", "__init__"},
    "__main__": {"cli"},
    "__init__": {"api", "blocks", "ir"},
}

# Imports against the current, allowed inside functions or for types only, each with its reason.
LATE = {
    ("ir", "data"): "a record tells pydantic how it is written",
    ("ir", "text"): "Expr.parse and Layout.parse",
    ("blocks", "text"): "the reader that a block is handed, as a type",
    ("graphs", "torch"): "a model that is not captured yet",
    ("api", "graphs"): "a check without a model does not pay for graphs",
    ("api", "torch"): "only a capture needs torch",
    ("commands", "torch"): "only a capture needs torch",
    ("mutate", "graphs"): "mutants are made of a graph that is there",
    ("skips", "layouts"): "a check without a model does not pay for the proof",
    ("compile", "layouts"): "a check without a model does not pay for the proof",
    ("compile", "resolve"): "a check without a model does not pay for the proof",
    ("settle", "read"): "base plans are read when they are named",
}

# A library, and the only parts that may import it.
HOMES = {
    "lark": {"text"},
    "pydantic": {"data", "ir"},
    "pydantic_core": {"data", "ir"},
    "yaml": {"data", "api"},
    "rich": {"report"},
    "argparse": {"cli", "commands", "mutate"},
    "torch": {"lightning", "torch"},
    "transformers": {"torch"},
    "lightning": {"lightning"},
    "lightning_utilities": {"lightning"},
}


def part_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """The modules that a file imports, and whether it does so as soon as it is loaded."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        above: ast.AST = node
        early = True
        while above in parents:
            above = parents[above]
            typing_only = isinstance(above, ast.If) and "TYPE_CHECKING" in ast.unparse(above.test)
            early &= not (typing_only or isinstance(above, ast.FunctionDef))
        for name in names:
            yield name, early


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports(path: Path) -> None:
    own = part_of(path)
    for name, early in imports(path):
        first, *rest = name.split(".")
        if first == "planc":
            other = (
                rest[0]
                if (PACKAGE / rest[0]).is_dir() or (PACKAGE / f"{rest[0]}.py").exists()
                else "__init__"
            )
            if other == own:
                continue
            assert other in MAY_IMPORT[own], f"{own} may not import {name}"
            if LATE.get((own, other)):
                assert not early, f"{name} is imported late: {LATE[own, other]}"
        elif first in HOMES:
            assert own in HOMES[first], f"{first} has its home in {HOMES[first]}"


def test_every_part_is_in_the_table() -> None:
    assert {part_of(path) for path in FILES} == set(MAY_IMPORT)


def test_files_stay_small() -> None:
    sizes = sorted(len(p.read_text(encoding="utf-8").splitlines()) for p in FILES)
    tests = [len(p.read_text(encoding="utf-8").splitlines()) for p in Path(__file__).parent.glob("*.py")]
    assert max(tests) <= 400
    assert sizes[-1] <= 400
    assert sizes[len(sizes) // 2] <= 120
