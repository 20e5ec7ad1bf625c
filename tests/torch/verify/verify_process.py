"""`planc verify` in a process of its own, with the libraries loaded: it forks ranks, which a process of pytest that has
run a backward pass must not do."""

from __future__ import annotations

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from tests.rank_pool import call_in_fork


class CommandResult(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


def verify(folder: Path, *arguments: str) -> CommandResult:
    """Run the command with this folder as the current one."""
    given = {"folder": str(folder), "arguments": arguments}
    return CommandResult(*call_in_fork("tests.torch.verify.verify_process:run_command", **given))


def run_command(folder: str, arguments: list[str]) -> tuple[int, str, str]:
    """The same in this process: the exit status, what is printed, and what is printed as an error."""
    from planc.cli import main

    os.chdir(folder)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(["verify", *arguments])
        except SystemExit as ended:  # argparse
            status = int(ended.code or 0)
    return status, out.getvalue(), err.getvalue()
