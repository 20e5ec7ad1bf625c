"""The examples, as torchrun starts them."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
from unittest import mock

from tests.rank_pool import ROOT


def run_example(name: str, arguments: list[str]) -> str:
    """What an example prints on this rank."""
    path, out = str(ROOT / "examples" / name), io.StringIO()
    with mock.patch.object(sys, "argv", [path, *arguments]), contextlib.redirect_stdout(out):
        runpy.run_path(path, run_name="__main__")
    return out.getvalue()
