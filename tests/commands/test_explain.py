"""The pages of `planc explain`: their examples are run, and say what they are said to.

A page is the docstring of a law's file: a title, what the law is and why, then
examples. An example is the block indented below a line that begins with `Wrong` or
`Right` and ends with a colon. In brackets stand the flags it is checked with, as in
`Wrong (planc check --tp 8):`, or the file it is written to, as in `Wrong (plan.yaml):`,
`plan.plan` if none is named; other words there are for the reader. The block below
`File base.plan:` is a file that lies beside every example of the page.

The examples of a law of the stage `capture` are commands.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

from planc.checks import law_page
from planc.cli import main
from planc.ir.laws import LAWS, Law
from tests.checks.test_cases import Checker, checker, format_diagnostics
from tools.codes_page import codes_page

__all__ = ["checker"]  # the fixture

ROOT = Path(__file__).parents[2]
REGENERATE = "python -m tools.codes_page > docs/codes.md"
ROWS = [pytest.param(law, id=law.code) for law in LAWS]

_HEADING = re.compile(r"(?:(Wrong|Right)(?: \((.+)\))?|File (\S+)):")
_FLAGS = re.compile(r"planc check (--.+)")
_PLAN = re.compile(r"plan\.(?:plan|yaml|json)")


class Example(NamedTuple):
    """One plan of a page."""

    is_right: bool
    plan: str
    flags: tuple[str, ...]
    text: str


class Page(NamedTuple):
    """The examples of a law, and the files beside them."""

    examples: tuple[Example, ...]
    files: dict[str, str]


def read_page(text: str) -> Page:
    """The examples of a page."""
    examples: list[Example] = []
    files: dict[str, str] = {}
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if heading := _HEADING.fullmatch(line):
            verdict, words, file = heading.groups()
            block = _block(lines[number + 1 :])
            if file:
                files[file] = block
                continue
            flags = _FLAGS.fullmatch(words or "")
            plan = words if words and _PLAN.fullmatch(words) else "plan.plan"
            given = tuple(shlex.split(flags[1])) if flags else ()
            examples.append(Example(verdict == "Right", plan, given, block))
    return Page(tuple(examples), files)


def _block(lines: list[str]) -> str:
    """The indented lines at the beginning of these, empty ones between them kept."""
    block: list[str] = []
    for line in lines:
        if line and not line.startswith("    "):
            break
        block.append(line)
    return dedent("\n".join(block)).strip("\n") + "\n"


def _examples(*, of_captures: bool) -> Sequence[object]:
    found = []
    for law in LAWS:
        if (law.stage == "capture") is not of_captures:
            continue
        for count, example in enumerate(read_page(law_page(law)[1]).examples, start=1):
            name = f"{law.code}-{'right' if example.is_right else 'wrong'}-{count}"
            found.append(pytest.param(law, example, id=name))
    return found


@pytest.mark.parametrize("law", ROWS)
def test_a_page_has_a_title_a_text_and_both_examples(law: Law) -> None:
    head, blank, *_ = [*law_page(law)[1].splitlines(), "", ""]
    assert head.endswith(".")
    assert head[0].isupper() or head[0] == "`"
    assert blank == "", "an empty line follows the title"
    examples = read_page(law_page(law)[1]).examples
    assert {example.is_right for example in examples} == {True, False}
    assert all(example.text.strip() for example in examples)


@pytest.mark.parametrize("law", ROWS)
def test_every_indented_block_is_an_example(law: Law) -> None:
    # An example under a heading that is spelt otherwise would never be run.
    lines = law_page(law)[1].splitlines()
    for number, line in enumerate(lines[2:], start=2):
        if line.startswith("    ") and not lines[number - 1] and not lines[number - 2].startswith("    "):
            assert _HEADING.fullmatch(lines[number - 2]), lines[number - 2]


@pytest.mark.parametrize(("law", "example"), _examples(of_captures=False))
def test_an_example_is_what_it_is_said_to_be(law: Law, example: Example, checker: Checker) -> None:
    files = read_page(law_page(law)[1]).files | {example.plan: example.text}
    status, found = checker.check(files, example.plan, example.flags)
    codes = {diagnostic["code"] for diagnostic in found}
    if example.is_right:
        assert law.code not in codes, format_diagnostics(found)
        assert status == 0, format_diagnostics(found)
    else:
        assert law.code in codes, format_diagnostics(found)
        errors = {d["code"] for d in found if d["severity"] == "error"}
        assert errors <= {law.code}, f"the example breaks other laws too\n{format_diagnostics(found)}"


@pytest.mark.parametrize(("law", "example"), _examples(of_captures=True))
def test_a_command_does_what_it_is_said_to_do(
    law: Law,
    example: Example,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in read_page(law_page(law)[1]).files.items():
        (tmp_path / name).write_text(text)
    program, *words = shlex.split(example.text)
    assert program == "planc"
    status = main(words)
    codes = re.findall(r"error\[(\w+)\]", capsys.readouterr().err)
    assert (status, codes) == ((0, []) if example.is_right else (2, [law.code]))


@pytest.mark.parametrize("law", ROWS)
def test_explain_prints_the_page(law: Law, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", law.code]) == 0
    by_code = capsys.readouterr().out
    assert main(["explain", law.name]) == 0
    assert capsys.readouterr().out == by_code
    assert by_code.startswith(f"{law.severity}[{law.code}] {law.name}\n\n{law_page(law)[0]}\n")
    assert law_page(law)[1].partition("\n")[2].strip() in by_code


def test_explain_lists_every_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [law.code for law in LAWS]
    assert all(line.endswith(law_page(law)[0]) for line, law in zip(lines, LAWS, strict=True))


def test_codes_and_names_are_given_once() -> None:
    codes = [law.code for law in LAWS]
    names = [law.name for law in LAWS]
    assert sorted(set(codes)) == sorted(codes)
    assert len(set(names)) == len(names)


def test_every_file_of_a_law_has_its_row() -> None:
    folder = ROOT / "planc" / "checks"
    others = {"__init__", "traversal"}
    checks = {f"planc.checks.{path.stem}" for path in folder.glob("*.py") if path.stem not in others}
    pages = {f"planc.checks.pages.{path.stem}" for path in (folder / "pages").glob("*.py")}
    assert checks == {law.module for law in LAWS if law.has_check}
    assert pages - {"planc.checks.pages.__init__"} == {law.module for law in LAWS if not law.has_check}


def test_the_page_of_all_codes_is_up_to_date() -> None:
    written = (ROOT / "docs" / "codes.md").read_text("utf-8")
    assert written == codes_page(), f"docs/codes.md is out of date: {REGENERATE}"
