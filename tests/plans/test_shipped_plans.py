"""The shipped plans, held against small graphs of their families: the right and the wrong.

`tests/plans/families/NAME.graph.json.gz` is a small model of the family that `plans/NAME.plan` is
for; `NAME.OTHER.graph.json.gz` is another one, as with a tied head. Each plan is proved on
each of its graphs, at every size of its tensor axis that its conditions allow, with each of
its options on and off.

`tests/plans/families/NAME.wrong` holds wrong variants of a plan, and what refutes each. Lines before
the first variant are prose. The form, precisely:

`# --- TITLE` or `# --- TITLE | FLAGS` begins a variant. FLAGS are those of `planc check`; they
say `--tp 2 --dp 2` where they are left out. `--model OTHER` takes NAME.OTHER.graph.json.gz.

    - LINE     drops this line of the plan, or of a plan that it extends
    + LINE     adds one: in the place of the line before, or behind it
    = LINE     goes to this line, and leaves it
    #! CODE: LINE
               an error of this code stands at this line

A line is found by its text, without its comment and however many blanks it has; what a plan says
on several lines, inside of brackets, is written as one. `- LINE` and `= LINE` must name one place
alone, or else one below the last that was named. The errors of a variant are those that are
marked, and no others; warnings are left open.
"""

from __future__ import annotations

import json
import re
import shlex
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from planc.cli import main
from planc.syntax.read_file import read_path

HERE = Path(__file__).parent
FOLDER = HERE / "families"
PLANS = HERE.parents[1] / "plans"
SIZES = (2, 4, 8)
WRONG_AT_LEAST = 3

_TITLE = re.compile(r"# --- ([^|]+?)(?: \| (--.+))?")
_MARK = re.compile(r"#! ([A-Z][0-9]{3}): (.+)")
_REFERENCE = re.compile(r"extends ([a-z0-9_]+)\s*")


class Wrong(NamedTuple):
    """A wrong variant of a plan."""

    name: str
    title: str
    flags: tuple[str, ...]
    edits: tuple[tuple[str, str], ...]
    """Each `-`, `+` or `=`, and the line."""
    expected: tuple[tuple[str, str], ...]
    """Codes, and the lines they stand at."""

    def __str__(self) -> str:
        return f"{self.name}-{self.title.replace(' ', '-')}"


def read_wrong(name: str, text: str) -> list[Wrong]:
    found: list[Wrong] = []
    for line in text.splitlines():
        if title := _TITLE.fullmatch(line):
            found.append(Wrong(name, title[1], tuple(shlex.split(title[2] or "")), (), ()))
        elif mark := _MARK.fullmatch(line):
            found[-1] = found[-1]._replace(expected=(*found[-1].expected, (mark[1], _plain(mark[2]))))
        elif line[:2] in ("- ", "+ ", "= "):
            found[-1] = found[-1]._replace(edits=(*found[-1].edits, (line[0], line[2:])))
        else:
            assert not found or not line or line.startswith("# "), (
                f"{name}.wrong: {line!r} is no line of a variant"
            )
    return found


def _plain(line: str) -> str:
    """A line without its comment and its blanks."""
    text = line.partition("#")[0]
    return re.sub(r" ?([(),]) ?", r"\1", " ".join(text.split())).replace(",)", ")")


def statement(lines: list[str], number: int) -> tuple[str, int]:
    """What begins at a line, and how many lines it takes."""
    text, end = "", number
    while end == number or (text.count("(") > text.count(")") and end < len(lines)):
        text += f" {lines[end].partition('#')[0]}"
        end += 1
    return _plain(text), end - number


def extends_chain(name: str) -> dict[str, list[str]]:
    """A plan and those that it extends, as lines of files beside each other."""
    files: dict[str, list[str]] = {}
    while name:
        lines = (PLANS / f"{name}.plan").read_text("utf-8").splitlines()
        above = ""
        for i, line in enumerate(lines):
            if extends := _REFERENCE.fullmatch(line.partition("#")[0]):
                above = extends[1]
                lines[i] = f'extends "{above}.plan"'
        files[f"{name}.plan"] = lines
        name = above
    return files


def edited_files(wrong: Wrong) -> dict[str, list[str]]:
    """The files of a variant."""
    files = extends_chain(wrong.name)
    at: tuple[str, int] | None = None
    for what, line in wrong.edits:
        if what == "+":
            assert at is not None, f"{wrong}: a line is added before its place is said"
            file, number = at
            files[file].insert(number, line)
            at = (file, number + 1)
        else:
            file, number = _found(files, line, at, str(wrong))
            _, length = statement(files[file], number)
            if what == "-":
                del files[file][number : number + length]
            at = (file, number + length * (what == "="))
    return files


def _found(
    files: dict[str, list[str]], line: str, after: tuple[str, int] | None, title: str
) -> tuple[str, int]:
    places = [
        (file, n)
        for file, lines in files.items()
        for n in range(len(lines))
        if statement(lines, n)[0] == _plain(line)
    ]
    if len(places) > 1 and after is not None:
        places = [(file, n) for file, n in places if file == after[0] and n >= after[1]][:1]
    assert len(places) == 1, f"{title}: {len(places)} lines are {line!r}"
    return places[0]


NAMES = sorted(path.stem for path in PLANS.glob("*.plan"))
WRONG = [
    wrong
    for path in sorted(FOLDER.glob("*.wrong"))
    for wrong in read_wrong(path.stem, path.read_text("utf-8"))
]


def graphs_of(name: str) -> list[Path]:
    return sorted(path for path in FOLDER.glob("*.graph.json.gz") if path.name.split(".")[0] == name)


class Checker:
    """Runs `planc check`."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def check(self, plan: Path, graph: Path, *flags: str) -> dict[str, Any]:
        main(["check", "--format", "json", "--model", str(graph), *flags, str(plan)])
        printed = self.capsys.readouterr()
        assert printed.err == "", printed.err
        (result,) = json.loads(printed.out)["results"]
        return dict(result)


@pytest.fixture
def checker(capsys: pytest.CaptureFixture[str]) -> Checker:
    return Checker(capsys)


def format_result(result: dict[str, Any]) -> str:
    """Diagnostics for the message of a failed test."""
    lines = [
        f"{d['path']}:{d['line']}: {d['code']} {d['message']} ({'; '.join(d['notes'])})"
        for d in result["diagnostics"]
    ]
    return "\n".join([str(result["verdict"]), *lines])


def settings(name: str) -> list[list[str]]:
    """The options of a plan, on and off."""
    options = [option for file in extends_chain(name) for option in read_path(str(PLANS / file)).plan.options]
    names = sorted({option.name for option in options if isinstance(option.value, bool)})
    return [
        [flag for own, value in zip(names, values) for flag in ("--set", f"{own}={str(value).lower()}")]
        for values in product([True, False], repeat=len(names))
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_family_has_small_graphs(name: str) -> None:
    assert graphs_of(name), f"tests/plans/families/{name}.graph.json.gz is missing"
    assert all(path.stat().st_size < 16_384 for path in graphs_of(name))


@pytest.mark.parametrize("graph", [g for name in NAMES for g in graphs_of(name)], ids=lambda g: g.name[:-14])
def test_a_shipped_plan_is_proved(graph: Path, checker: Checker) -> None:
    name = graph.name.split(".")[0]
    proved = []
    for tp in SIZES:
        for flags in settings(name):
            result = checker.check(PLANS / f"{name}.plan", graph, "--tp", str(tp), "--dp", "2", *flags)
            codes = {d["code"] for d in result["diagnostics"]}
            if codes == {"X401"}:  # a condition of the plan: fewer heads than ranks
                continue
            assert result["verdict"] == "proved", f"tp {tp} {flags}: {format_result(result)}"
            assert not result["diagnostics"], f"tp {tp} {flags}: {format_result(result)}"
            proved.append(tp)
    assert 2 in proved, "it is proved at some size"


@pytest.mark.parametrize("name", NAMES)
def test_a_family_has_wrong_variants(name: str) -> None:
    own = [wrong for wrong in WRONG if wrong.name == name]
    assert len(own) >= WRONG_AT_LEAST, f"tests/plans/families/{name}.wrong has {len(own)} variants"
    assert len({wrong.title for wrong in own}) == len(own), "titles tell variants apart"


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_wrong_variant_is_refuted(wrong: Wrong, tmp_path: Path, checker: Checker) -> None:
    files = edited_files(wrong)
    for file, lines in files.items():
        (tmp_path / file).write_text("\n".join([*lines, ""]), "utf-8")
    flags = list(wrong.flags) or ["--tp", "2", "--dp", "2"]
    graph = FOLDER / f"{wrong.name}.graph.json.gz"
    if "--model" in flags:
        at = flags.index("--model")
        graph = FOLDER / f"{wrong.name}.{flags[at + 1]}.graph.json.gz"
        del flags[at : at + 2]
    result = checker.check(tmp_path / f"{wrong.name}.plan", graph, *flags)
    found = sorted(
        (d["code"], statement(files[Path(d["path"]).name], d["line"] - 1)[0])
        for d in result["diagnostics"]
        if d["severity"] == "error"
    )
    assert found == sorted(wrong.expected), format_result(result)
    assert wrong.expected, format_result(result)
    assert result["verdict"] == "refuted"
