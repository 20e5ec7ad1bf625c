"""What all tests share."""

from __future__ import annotations

import os
import tempfile

import pytest

from tests.rank_pool import end_processes, run_folder

# One cache for the run: no test depends on the user's, and a model is captured once.
os.environ.setdefault("PLANC_CACHE_DIR", tempfile.mkdtemp(prefix="planc-cache-"))
os.environ.pop("FORCE_COLOR", None)
os.environ["NO_COLOR"] = "1"
run_folder()


def pytest_unconfigure(config: pytest.Config) -> None:
    """The processes of tests end with the run; those of a worker, with the run of all workers."""
    if not hasattr(config, "workerinput"):
        end_processes()
