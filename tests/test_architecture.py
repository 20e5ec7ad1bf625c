"""Which part of planc may know which, and the figures of `tools/house.py`: data flows one way, a fact has one place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tools import house
from tools.measures import dependencies
from tools.measures.codebase import Codebase, imported_names
from tools.measures.naming import everyday_words

ROOT = Path(__file__).parent.parent
CODE = Codebase(ROOT)
NAMES_OF_CASES = ("hunt/nets/", "judge/state_cases.py")
"""Files whose classes are called as the cases that docs/soundness.md and the judge name."""

# A library, and the only parts that may import it.
HOMES = {
    "lark": {"syntax"},
    "pydantic": {"ir", "syntax"},
    "pydantic_core": {"ir", "syntax"},
    "yaml": {"api", "syntax"},
    "rich": {"report"},
    "argparse": {"cli", "commands"},
    "torch": {"lightning", "torch"},
    "transformers": {"torch"},
    "lightning": {"lightning"},
    "lightning_utilities": {"lightning"},
}
# Imports that only some runs need: they stand inside functions, so that the others start sooner.
LAZY = {
    ("api", "graph"): "a check without a model reads no graph",
    ("api", "torch"): "only a capture needs torch",
    ("commands", "torch"): "only a capture needs torch",
    ("graph", "torch"): "only a capture needs torch",
    ("compile", "proof"): "a check without a model proves nothing",
    ("compile", "bind"): "a check without a model binds nothing",
    ("resolve", "syntax.read_file"): "a plan that extends none reads no other file",
}


@pytest.mark.parametrize("row", house.ROWS, ids=lambda row: row.name)
def test_a_figure_is_within_its_limit(row: house.Row) -> None:
    found = row.found(CODE)
    message = [f"{row.measured}: at most {row.wanted}", *found[:200]]
    assert row.figure(found) <= row.wanted, "\n".join(message)


def test_imports_against_the_flow_are_excused() -> None:
    """Each has a reason, stands inside a function, and is there."""
    found = {
        (CODE.part(path), CODE.part(other)): is_eager
        for path, others in CODE.imports.items()
        for other, is_eager in others.items()
        if dependencies.position(CODE.part(path)) < dependencies.position(CODE.part(other))
    }
    assert found == dict.fromkeys(dependencies.EXCUSED, False)


def test_the_order_names_every_part() -> None:
    assert {CODE.part(path) for path in CODE.paths} <= set(dependencies.ORDER)


@pytest.mark.parametrize("path", CODE.paths, ids=CODE.name)
def test_libraries_have_one_home(path: Path) -> None:
    part = CODE.part(path).partition(".")[0]
    for name, _ in imported_names(CODE.trees[path]):
        home = HOMES.get(name.partition(".")[0])
        assert home is None or part in home, f"{part} imports {name}, whose home is {home}"


@pytest.mark.parametrize("pair", LAZY, ids=" -> ".join)
def test_what_few_runs_need_is_imported_late(pair: tuple[str, str]) -> None:
    importer, imported = pair
    for path, others in CODE.imports.items():
        if CODE.part(path).partition(".")[0] == importer:
            for other, is_eager in others.items():
                name = CODE.name(other).removesuffix(".py").replace("/", ".")
                assert not (is_eager and f"{name}.".startswith(f"{imported}.")), (
                    f"{CODE.name(path)}: {LAZY[pair]}"
                )


def test_names_in_tests() -> None:
    found = [name for name in everyday_words(Codebase(ROOT, "tests")) if not name.startswith(NAMES_OF_CASES)]
    assert found == []


def test_files_of_tests_stay_small() -> None:
    sizes = {path: len(path.read_text("utf-8").splitlines()) for path in (ROOT / "tests").rglob("*.py")}
    assert [str(path) for path, size in sizes.items() if size > 400] == []


# ---- the figures can fail ---------------------------------------------------------------------


def of_files(tmp_path: Path, files: dict[str, str]) -> Codebase:
    for name, text in files.items():
        path = tmp_path / "planc" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Codebase(tmp_path)


WALK = "def walk(x):\n    return [walk(y) for y in x] if isinstance(x, tuple | list) else x\n"
FAULTS: dict[str, tuple[dict[str, str], int]] = {
    "circles": (
        {"ir/a.py": "import planc.ir.b\n", "ir/b.py": "def late():\n    from planc.ir import a\n    return a\n"}, 1,
    ),
    "flow": ({"ir/a.py": "if TYPE_CHECKING:\n    from planc.proof.types import Type\n", "proof/types.py": "class Type: ...\n"}, 1),
    "ir": ({"ir/a.py": "from planc.syntax import parser\n", "syntax/parser.py": ""}, 1),
    "names": ({"ir/a.py": "def one(): ...\n", "bind/b.py": "class one: ...\n"}, 1),
    "files": ({"ir/read.py": "", "bind/read.py": ""}, 1),
    "words": ({"ir/said.py": "class ToldTwice: ...\n\ndef _said(): ...\n\ndef whole_tensor(): ...\n"}, 3),
    "layouts": ({"ir/a.py": "class Cut: ...\nclass Part: ...\n\ndef share(): ...\n"}, 3),
    "walkers": ({"bind/a.py": WALK, "ir/tree.py": WALK}, 1),
    "operations": (
        {"proof/rules/a.py": "@op_rule('mm', 'bmm', 'view')\ndef matmul(): ...\n", "lower/b.py": "SAVED = ('mm', 'bmm', 'view')\n"}, 1,
    ),
    "kinds": (
        {"proof/a.py": "x = block.kind == 'tensor'\ny = f('fsdp')\nz = rule.style in ('replicate',)\nw = text == 'replicate'\n"}, 3,
    ),
    "diagnostics": ({"ir/a.py": "def one():\n    return Diagnostic()\n", "bind/b.py": "def other():\n    Diagnostic(1)\n"}, 2),
    "forward": ({"torch/apply/a.py": "module.forward = 1\nobject.__setattr__(module, 'forward', 1)\nself.backward = 1\n"}, 2),
    "private": (
        {"torch/apply/a.py": "from torch._a import b\n_own = 1\nx._own\nx._b\ngetattr(x, '_c')\nx._replace()\n", "torch/compat.py": "x._d\n"}, 3,
    ),
    "pages": ({"checks/a.py": '"""A page."""\n', "checks/b.py": "def check(): ...\n", "checks/pages/c.py": ""}, 1),
    "mutation": ({"mutate/a.py": "x = 1\ny = 2\n"}, 2),
    "loose": ({"torch/a.py": "", "torch/compat.py": "", "torch/apply/b.py": ""}, 1),
    "largest": ({"ir/a.py": "x = 1\n" * 401}, 401),
    "median": ({"ir/a.py": "x = 1\n" * 121}, 121),
}  # fmt: skip
"""A small package with faults of each kind, and how many there are."""


@pytest.mark.parametrize("row", house.ROWS, ids=lambda row: row.name)
def test_a_figure_counts_faults(row: house.Row, tmp_path: Path) -> None:
    files, count = FAULTS[row.name]
    found = row.found(of_files(tmp_path, files))
    assert row.figure(found) == count, found
    assert count > row.wanted or row.name in ("names", "files", "flow", "diagnostics", "layouts")


def test_a_figure_above_its_limit_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.CODE", of_files(tmp_path, FAULTS["circles"][0]))
    check: Callable[[house.Row], None] = test_a_figure_is_within_its_limit
    rows = {row.name: row for row in house.ROWS}
    check(rows["names"])
    with pytest.raises(AssertionError, match=r"import circles: at most 0\n  2 files: ir/a.py, ir/b.py"):
        check(rows["circles"])
