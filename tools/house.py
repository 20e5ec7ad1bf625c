"""Measures how well planc's code keeps to its plan: who imports whom, which names stand twice, where facts live.

    python tools/house.py                the table
    python tools/house.py ROW...         what a row counts, a line each: `circles`, `words`, ...
    python tools/house.py --root PATH    of another checkout

Everything is computed from the syntax trees of `planc/`: imports inside functions and for types alone count too.
`tests/test_architecture.py` holds each figure to its limit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from tools.measures import dependencies, files, naming, private_names, single_source  # noqa: E402
from tools.measures.codebase import Codebase  # noqa: E402


class Row(NamedTuple):
    """A figure."""

    name: str
    measured: str
    before: int
    """In November 2026, before the code was laid out as it is."""
    wanted: int
    """At most."""
    found: Callable[[Codebase], list[str]]
    """What it counts, a line each."""
    figure: Callable[[list[str]], int] = len


def _sizes(found: list[str]) -> list[int]:
    return [int(line.split()[0]) for line in found]


ROWS = (
    Row("circles", "import circles", 3, 0, dependencies.import_circles),
    Row(
        "flow",
        "imports between parts that run against the flow of data",
        12,
        3,
        dependencies.against_the_flow,
    ),
    Row("ir", "imports of other parts in `ir/`", 4, 0, dependencies.imports_outside_ir),
    Row("names", "public names defined in two or more files", 107, 20, naming.names_defined_twice),
    Row("files", "file names used in two or more folders", 46, 12, naming.file_names_used_twice),
    Row("words", "names of files, classes and functions in everyday English", 110, 0, naming.everyday_words),
    Row("layouts", "words for one parameter's layout on its way", 6, 3, naming.layout_words),
    Row(
        "walkers",
        "recursive walkers over trees of arguments outside `ir/tree.py`",
        47,
        0,
        single_source.recursive_walkers,
    ),
    Row("operations", "tables of operations outside their rows", 4, 0, single_source.operation_tables),
    Row(
        "kinds",
        "tests of a block's, an axis's or a style's kind by its name",
        46,
        0,
        single_source.asked_by_name,
    ),
    Row("diagnostics", "functions that construct a `Diagnostic`", 5, 1, single_source.diagnostic_makers),
    Row("forward", "places that replace `module.forward`", 4, 1, single_source.forward_assignments),
    Row(
        "private",
        "private names of torch, transformers and Lightning outside `compat.py`",
        40,
        0,
        private_names.private_names,
    ),
    Row("pages", "files of `checks/` without code", 39, 0, files.checks_without_code),
    Row("mutation", "lines in the wheel that tests alone use", 2171, 0, files.lines_for_tests_alone),
    Row("loose", "loose files of `planc/torch`", 28, 0, files.loose_torch_files),
    Row("largest", "lines of the longest file", 314, 400, files.file_sizes, lambda found: max(_sizes(found))),
    Row(
        "median",
        "lines of the median file",
        79,
        120,
        files.file_sizes,
        lambda found: int(median(_sizes(found))),
    ),
)


def measure(code: Codebase) -> dict[str, int]:
    """The figure of each row, by its name."""
    return {row.name: row.figure(row.found(code)) for row in ROWS}


def table(code: Codebase) -> str:
    """All figures, as a table of Markdown."""
    figures = measure(code)
    lines = [f"| {r.measured} | {r.before} | {figures[r.name]} | {r.wanted} |\n" for r in ROWS]
    return "| measured | before | now | at most |\n| --- | ---: | ---: | ---: |\n" + "".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python tools/house.py", description="measures the code of planc")
    rows = {row.name: row for row in ROWS}
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"print what it counts: {', '.join(rows)}")
    parser.add_argument("--root", type=Path, default=ROOT, help="a checkout of planc")
    given = parser.parse_args()
    unknown = [name for name in given.rows if name not in rows]
    if unknown:
        parser.error(f"there is no row {', '.join(unknown)}; there are {', '.join(rows)}")
    code = Codebase(given.root)
    for name in given.rows:
        print(*rows[name].found(code), sep="\n")
    if not given.rows:
        print(table(code), end="")


if __name__ == "__main__":
    main()
