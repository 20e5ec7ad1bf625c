"""The diagnostics, held against small plans in which each is marked where it belongs.

`tests/checks/cases/CODE.plan` holds the cases of one code. Lines before the first case are
prose. The form, precisely:

`# --- TITLE` or `# --- TITLE | FLAGS` begins a case: the lines after it are its plan,
line 1 first, and FLAGS are those of `planc check`. The plan is written as `plan.plan`;
a title of the form `plan.yaml: TITLE` or `plan.json: TITLE` gives it that name.

A flag `--model NAME.graph.json.gz` may name a model of `tests/graph/handwritten.py`, or a graph in
`tests/graph/captured`: it is written beside the plan.

`# +++ NAME` begins another file of the case, as `base.plan` or `sub/base.plan`.

`#! CODE: TEXT` at the end of a line says that this line has a diagnostic of this code,
with TEXT in its message, in what stands beside its caret, in a note, or in its fix.
Several are separated by ` ; `. `#! CODE` alone leaves the text open.

`#! NUMBER: CODE: TEXT` on a line of its own says the same of line NUMBER of the file.
It is for lines whose end is part of the case, and for the end of the file.

Marks are no part of the plan: they are taken off, with the blanks before them, so that
they may stand in JSON too, and the line of a numbered mark does not count. Blank lines
at the end of a file are dropped. A line without a mark has no diagnostic, and a case
without any has none at all.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from planc.cli import main
from planc.ir.laws import LAWS
from tests.graph import handwritten as graphs

FOLDER = Path(__file__).parent / "cases"
CODES = [law.code for law in LAWS if law.stage != "capture"]
"""Faults of a capture are no faults of a plan: `planc explain` shows them."""

_CASE = re.compile(r"# --- (?:(plan\.(?:yaml|json)): )?(.+?)(?: \| (--.+))?")
_FILE = re.compile(r"# \+\+\+ (\S+)")
_MARK = re.compile(r"(.*?)[ \t]*#! (.+)")
_NUMBERED = re.compile(r"#! ([0-9]+): (.+)")
_EXPECTED = re.compile(r"([A-Z][0-9]{3})(?:: (.+))?")


class Location(NamedTuple):
    """Where a diagnostic stands, and its code."""

    file: str
    line: int
    code: str


class Mark(NamedTuple):
    """A diagnostic that a case expects."""

    place: Location
    text: str


class Case(NamedTuple):
    """One plan, with all that belongs to it."""

    owner: str
    """The code whose file holds it."""
    title: str
    plan: str
    """The name of the file that is checked."""
    flags: tuple[str, ...]
    files: dict[str, str]
    marks: tuple[Mark, ...]

    @property
    def is_right(self) -> bool:
        return not self.marks

    def __str__(self) -> str:
        form = self.plan.removeprefix("plan.").replace("plan", "text")
        return f"{self.owner}-{form}-{self.title.replace(' ', '-')}"


def read_cases(owner: str, text: str) -> Iterator[Case]:
    """The cases of one file."""
    heading: re.Match[str] | None = None
    body: list[str] = []
    for line in [*text.splitlines(), "# --- end"]:
        if begun := _CASE.fullmatch(line):
            if heading is not None:
                yield _case(owner, heading, body)
            heading, body = begun, []
        else:
            body.append(line)


def _case(owner: str, heading: re.Match[str], body: list[str]) -> Case:
    assert "|" not in heading[2], f"{owner}: the flags of {heading[2]!r} begin with --"
    plan = heading[1] or "plan.plan"
    files: dict[str, list[str]] = {plan: []}
    marks: list[Mark] = []
    name = plan
    for line in body:
        if other := _FILE.fullmatch(line):
            name = other[1]
            assert name not in files, f"{owner}: '{heading[2]}' has two files {name}"
            files[name] = []
        elif numbered := _NUMBERED.fullmatch(line):
            marks += _marks(name, int(numbered[1]), numbered[2])
        elif marked := _MARK.fullmatch(line):
            files[name].append(marked[1])
            marks += _marks(name, len(files[name]), marked[2])
        else:
            files[name].append(line)
    texts = {
        name: f"{text}\n" if (text := "\n".join(lines).rstrip("\n")) else "" for name, lines in files.items()
    }
    return Case(owner, heading[2], plan, tuple(shlex.split(heading[3] or "")), texts, tuple(marks))


def _marks(file: str, line: int, text: str) -> Iterator[Mark]:
    for part in text.split(" ; "):
        expected = _EXPECTED.fullmatch(part.strip())
        assert expected, f"{part!r} is no mark: CODE: TEXT"
        yield Mark(Location(file, line, expected[1]), expected[2] or "")


def all_cases() -> list[Case]:
    return [
        case for path in sorted(FOLDER.iterdir()) for case in read_cases(path.stem, path.read_text("utf-8"))
    ]


CASES = all_cases()


class Checker:
    """Runs `planc check` on files, in a folder of its own."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self.capsys = folder, capsys
        monkeypatch.chdir(folder)

    def check(
        self, files: dict[str, str], plan: str, flags: tuple[str, ...] = ()
    ) -> tuple[int, list[dict[str, Any]]]:
        """The exit status, and the diagnostics as `--format json` says them."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        for name in graphs.models_in_flags(flags):
            (self.folder / name).write_bytes(graphs.model_file(name))
        # A plan's own model is captured only where a case is about that.
        model = () if "--model" in flags else ("--model", "none")
        status = main(["check", "--format", "json", *model, *flags, plan])
        printed = self.capsys.readouterr()
        assert printed.err == "", printed.err
        (result,) = json.loads(printed.out)["results"]
        return status, result["diagnostics"]


@pytest.fixture
def checker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Checker:
    return Checker(tmp_path, monkeypatch, capsys)


def location_of(diagnostic: dict[str, Any]) -> Location:
    return Location(diagnostic["path"], diagnostic["line"], diagnostic["code"])


def full_text(diagnostic: dict[str, Any]) -> str:
    """All that a diagnostic says, a piece a line."""
    fix = diagnostic["fix"]
    pieces = [diagnostic["message"], diagnostic["label"], *diagnostic["notes"], fix["message"] if fix else ""]
    return "\n".join(piece for piece in pieces if piece)


def format_diagnostics(diagnostics: list[dict[str, Any]]) -> str:
    """Diagnostics for the message of a failed test."""
    return (
        "\n".join(f"{':'.join(map(str, location_of(d)))}: {full_text(d)!r}" for d in diagnostics)
        or "no diagnostic"
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case, checker: Checker) -> None:
    status, found = checker.check(case.files, case.plan, case.flags)
    assert sorted(map(location_of, found)) == sorted(mark.place for mark in case.marks), format_diagnostics(
        found
    )
    left = list(found)
    # The longest text first: a mark that fits one diagnostic alone must get that one.
    for mark in sorted(case.marks, key=lambda mark: -len(mark.text)):
        fits = [d for d in left if location_of(d) == mark.place and mark.text in full_text(d)]
        assert fits, f"no {mark.place.code} says {mark.text!r}\n{format_diagnostics(found)}"
        left.remove(fits[0])
    open_ = 3 if any(d["code"] == "L713" for d in found) else 0
    wrong = 2 if any(d["code"] == "F600" for d in found) else 1
    assert status == (wrong if any(d["severity"] == "error" for d in found) else open_)


def test_every_code_has_a_file_of_cases() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(f"{code}.plan" for code in CODES)


@pytest.mark.parametrize("code", CODES)
def test_a_code_has_wrong_and_right_cases(code: str) -> None:
    own = [case for case in CASES if case.owner == code]
    assert any(mark.place.code == code for case in own for mark in case.marks), f"no case is marked {code}"
    assert any(case.is_right for case in own), "no case is right"
    assert all(case.is_right or any(m.place.code == code for m in case.marks) for case in own), (
        "a wrong case stands in the file of its code"
    )
    assert len(set(map(str, own))) == len(own), "titles tell cases apart"


# ---- what a case cannot hold --------------------------------------------------


def test_bytes_that_are_not_utf8(checker: Checker) -> None:
    (checker.folder / "plan.plan").write_bytes(b"mesh tp\ntensor tp { lm_\xff  colwise }\n")
    status, found = checker.check({}, "plan.plan")
    assert status == 1
    assert list(map(location_of, found)) == [Location("plan.plan", 2, "S003")]
    assert "byte 0xff is not UTF-8 text" in full_text(found[0])


def test_a_plan_of_more_than_16_mib(checker: Checker) -> None:
    (checker.folder / "plan.plan").write_bytes(b"#" * ((16 << 20) + 1))
    status, found = checker.check({}, "plan.plan")
    assert status == 1
    assert list(map(location_of, found)) == [Location("plan.plan", 1, "S006")]


def test_a_plan_of_16_mib(checker: Checker) -> None:
    (checker.folder / "plan.plan").write_bytes(b"#" * (16 << 20))
    assert checker.check({}, "plan.plan") == (0, [])


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_a_link_out_of_the_folder_is_followed_and_refused(checker: Checker) -> None:
    inside = checker.folder / "inside"
    inside.mkdir()
    (checker.folder / "base.plan").write_text("plan base\n")
    (inside / "base.plan").symlink_to(checker.folder / "base.plan")
    status, found = checker.check({"inside/plan.plan": 'extends "base.plan"\n'}, "inside/plan.plan")
    assert status == 1
    assert [d["code"] for d in found] == ["E503"]


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "bom"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "open"])
def test_lines_end_as_they_may(ending: str, mark: str, last: bool, checker: Checker) -> None:
    lines = ["mesh tp", "", "tensor tp {", "    lm_head  colwis", "}"]
    text = mark + ending.join(lines) + ending * last
    _, found = checker.check({"plan.plan": text}, "plan.plan")
    assert [(*location_of(d), d["column"]) for d in found] == [("plan.plan", 4, "N101", 14)]
