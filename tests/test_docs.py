"""The pages of docs/ and the README: every block is run, every table held against the code.

The first words after a fence say how its block is held:

    plan                 a whole plan; it checks without a fault
    plan file=NAME       the same, and a file of this name for the rest of the page
    plan statements      statements, put beside PRELUDE
    plan tensor          lines of a block, put into `tensor tp { ... }` beside PRELUDE;
                         and so for fsdp, recompute and compile
    yaml plan, json plan     the data form; same=NAME: it says what that file says
    console, sh          commands after `$`, run in a folder with the page's files
    python               code, or a session of `>>>`, run in such a folder
    yaml, json, toml     parsed
    text                 free

A plan may say `error=CODE` or `warning=CODE`: it has one fault, of this code, or as many
as `count=N` says; and `tp=8`, `dp=2`, `world_size=16`. A block of any other kind fails, so that none goes
unchecked.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from planc import api
from planc.check_result import Result
from planc.cli import COMMANDS, main
from planc.compile import check_document
from planc.ir.laws import LAWS
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.paths import shipped_path
from planc.report.text import render_diagnostic
from planc.syntax.read_file import read_source

ROOT = Path(__file__).parent.parent
PAGES = sorted(page for page in (*ROOT.glob("docs/**/*.md"), ROOT / "README.md") if page.is_file())
LANGUAGE = ROOT / "docs" / "language.md"

PRELUDE = """\
mesh dp, tp
option sequence_parallel = true
let block  = model.layers.*
let stream = shard(1) when sequence_parallel else replicate
"""
"""What a few lines stand beside. The last section of docs/language.md shows it."""
WRAPPERS = {
    "tensor": "tensor tp {{\n{}}}\n",
    "fsdp": "fsdp dp {{\n{}}}\n",
    "recompute": "recompute {{\n{}}}\n",
    "compile": "compile {{\n{}}}\n",
}
UNUSED = {"N107", "M201"}
"""No fault of a few lines: they need not use all that stands beside them."""
SIZES = ("tp", "dp")
RUNS = {"pip", "python", "python3", "git", "cd"}
"""What a page may show besides planc and make; it is not run here."""

_FENCE = re.compile(r"(?P<indent> *)(?P<ticks>`{3,}|~{3,})(?P<info>[^`]*)")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    info: str
    text: str

    @property
    def kind(self) -> tuple[str, ...]:
        return tuple(word for word in self.info.split() if "=" not in word)

    @property
    def given(self) -> dict[str, str]:
        words = (word.partition("=") for word in self.info.split() if "=" in word)
        return {name: value for name, _, value in words}

    @property
    def id(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, with the line of their fence."""
    fence = ""
    begun, indent, info = 0, 0, ""
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if fence:
            if line.strip() == fence:
                yield Block(page, begun, info, "".join(f"{each[indent:]}\n" for each in lines))
                fence, lines = "", []
            else:
                lines.append(line)
        elif opened := _FENCE.fullmatch(line):
            fence, begun = opened["ticks"], number
            indent, info = len(opened["indent"]), opened["info"].strip()
    assert not fence, f"{page}:{begun}: this block is never closed"


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in, with `plans/` and `examples/` as in the repository."""
    shutil.copytree(shipped_path("plans"), tmp_path / "plans")
    if (ROOT / "examples").is_dir():
        shutil.copytree(
            ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__")
        )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def write_files(page: Path, folder: Path) -> None:
    """Write the files that the blocks of a page name."""
    named = [block for block in BLOCKS if block.page == page and "file" in block.given]
    names = [block.given["file"] for block in named]
    assert len(names) == len(set(names)), f"{page}: a file is given twice"
    for block in named:
        (folder / block.given["file"]).write_text(block.text, encoding="utf-8")


# ---- the blocks --------------------------------------------------------------


@pytest.mark.parametrize("block", BLOCKS, ids=[block.id for block in BLOCKS])
def test_block(block: Block, folder: Path) -> None:
    write_files(block.page, folder)
    match block.kind:
        case ("plan",):
            hold_plan(block, block.text, "text", folder, set())
        case ("plan", "statements" | "tensor" | "fsdp" | "recompute" | "compile" as inside):
            hold_plan(block, wrapped(inside, block.text), "text", folder, UNUSED)
        case ("yaml" | "json" as form, "plan"):
            hold_plan(block, block.text, form, folder, set())
            hold_same(block, form, folder)
        case ("console",) | ("sh",):
            hold_commands(block)
        case ("python",):
            hold_python(block)
        case ("yaml",):
            yaml.safe_load(block.text)
        case ("json",):
            json.loads(block.text)
        case ("toml",):
            pytest.importorskip("tomllib").loads(block.text)
        case ("text",):
            pass
        case _:
            pytest.fail(f"{block.id}: no block is of the kind '{block.info}'")


def wrapped(inside: str, text: str) -> str:
    """A whole plan around a few lines."""
    if inside != "statements":
        return PRELUDE + WRAPPERS[inside].format(text)
    # What the lines declare themselves is left out beside them.
    heads = {tuple(line.split()[:2]) for line in text.splitlines() if line.strip()}
    declares_mesh = any(head[0] in ("mesh", "extends") for head in heads)
    kept = [
        line
        for line in PRELUDE.splitlines(keepends=True)
        if tuple(line.split()[:2]) not in heads and not (declares_mesh and line.startswith("mesh"))
    ]
    return "".join(kept) + text


def checked(block: Block, text: str, form: str, folder: Path) -> Result:
    sizes = {name: int(block.given[name]) for name in SIZES if name in block.given}
    world = block.given.get("world_size")
    source = Source(block.id, text, form, str(folder))
    return check_document(read_source(source), Settings(sizes, None if world is None else int(world)))


def hold_plan(block: Block, text: str, form: str, folder: Path, allowed: set[str]) -> None:
    """A plan has no fault, or those it names and no others."""
    unknown = set(block.given) - {"file", "same", "error", "warning", "count", "world_size", *SIZES}
    assert not unknown, f"{block.id}: {unknown} cannot be said of a plan"
    named = [block.given[name] for name in ("error", "warning") if name in block.given]
    wanted = named * int(block.given.get("count", 1))
    result = checked(block, text, form, folder)
    codes = [d.law.code for d in result.diagnostics if d.law.code in named or d.law.code not in allowed]
    assert sorted(codes) == sorted(wanted), "\n".join(render_diagnostic(d) for d in result.diagnostics)
    assert result.is_refuted == ("error" in block.given)


def hold_same(block: Block, form: str, folder: Path) -> None:
    """A plan in the data form says what a plan in text says."""
    if name := block.given.get("same"):
        data = read_source(Source(block.id, block.text, form, str(folder)))
        assert data.plan == api.load(folder / name)


def hold_commands(block: Block) -> None:
    """Every command does what stands under it; one without output in `sh` succeeds."""
    shown = block.kind == ("console",)
    status = 0
    for command, expected in commands(block):
        words = shlex.split(command, comments=True)
        if words == ["echo", "$?"]:
            assert expected == f"{status}\n", f"{block.id}: {command}"
        elif words[0] == "planc":
            status, output = run(words[1:])
            if shown or expected:
                assert output == expected, f"{block.id}: {command}"
            else:
                assert status == 0, f"{block.id}: {command}\n{output}"
        elif words[0] == "make":
            targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
            assert set(words[1:]) <= set(targets), f"{block.id}: {command}"
        else:
            assert words[0] in RUNS, f"{block.id}: {command}"
            assert not expected, f"{block.id}: what '{words[0]}' prints is not checked"


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """The commands of a block, each with the lines under it. Without a `$` all are commands."""
    lines = block.text.splitlines()
    if not any(line.startswith("$ ") for line in lines):
        assert block.kind == ("sh",), f"{block.id}: a session has commands after '$ '"
        yield from ((line, "") for line in lines if line.strip() and not line.startswith("#"))
        return
    assert lines[0].startswith("$ "), f"{block.id}: output before the first command"
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)]):
        yield lines[start][2:], "".join(f"{line}\n" for line in lines[start + 1 : end])


def run(words: list[str]) -> tuple[int, str]:
    """The exit status of planc, and what it prints, errors too. `< FILE` is its input."""
    given = b""
    if "<" in words:
        at = words.index("<")
        given, words = Path(words[at + 1]).read_bytes(), words[:at]
    out = io.StringIO()
    stdin, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(given), encoding="utf-8")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                status = main(words)
            except SystemExit as ended:  # argparse, after --help and wrong usage
                status = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdin = stdin
    # Where the shipped plans lie is another place on every machine.
    text = out.getvalue().replace(shipped_path("plans").rstrip(os.sep), "plans")
    return status, "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def hold_python(block: Block) -> None:
    """Code runs without an exception; a session prints what it shows."""
    if ">>>" not in block.text:
        exec(compile(block.text, block.id, "exec"), {"__name__": "page"})
        return
    test = doctest.DocTestParser().get_doctest(block.text, {}, block.id, str(block.page), block.line)
    failures: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=failures.append)
    assert not failures, "".join(failures)


def test_every_command_is_known() -> None:
    """A page names no command of planc that does not exist."""
    named = {
        (page.name, command)
        for page in PAGES
        for command in re.findall(r"`planc ([a-z]+)", page.read_text(encoding="utf-8"))
    }
    assert {command for _, command in named} <= set(COMMANDS), named


def test_every_code_is_known() -> None:
    """A page names no code that does not exist."""
    known = {law.code for law in LAWS}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"(?<![A-Za-z0-9])[SNMRXE][0-9]{3}(?![0-9])", text)) <= known, page


def test_links() -> None:
    """A link inside the repository leads to a file, and to a heading of it."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
            if "://" in target or target.startswith("mailto:"):
                continue
            name, _, anchor = target.partition("#")
            path = page if not name else page.parent / name
            assert path.exists(), f"{page}: {target}"
            if anchor:
                assert anchor in anchors(path), f"{page}: {target}"


def prose(page: Path) -> str:
    """A page without its blocks."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^ *(`{3,})[^`]*?^ *\1 *$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    heads = re.findall(r"^#+ +(.+?)\s*$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
