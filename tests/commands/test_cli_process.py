"""The command line as a process: its streams, colours, and how it ends."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

BAD = "mesh tp\ntensor tp {\n    lm_head   colwis\n}\n"
CLEAN = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.plan").write_text(BAD)
    return tmp_path


def test_as_a_program(folder: Path) -> None:
    command = [sys.executable, "-m", "planc", "check", "bad.plan"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("error[N101]: there is no style 'colwis'\n --> bad.plan:3:15\n")


def test_a_reader_that_goes_away() -> None:
    command = f"{shlex.quote(sys.executable)} -m planc explain --list | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("S001")
    assert done.stderr == ""


def test_no_terminal_no_colour(folder: Path) -> None:
    for environment, coloured in (
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ):
        command = [sys.executable, "-m", "planc", "check", "bad.plan"]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**CLEAN, **environment}, check=False
        )
        assert ("\x1b[" in done.stdout) is coloured


def test_a_narrow_terminal(folder: Path) -> None:
    """What cannot be shown is escaped: a report is no reason to end in a traceback."""
    (folder / "wide.plan").write_text("mesh tp \u5c42\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "planc", "check", "wide.plan"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "\\u5c42" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "planc", "check", "llama"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("planc: no space left on device")
