"""Files that are made once in a run of tests, for all of its processes: captured graphs, checkpoints, weights."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from planc.graph.graph_reader import read_graph_file
from planc.ir.graph import ModelGraph
from tests.rank_pool import call_in_fork, run_folder


def once_per_run(name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first process which asks for it fills; the others wait for that."""
    folder = run_folder() / "made" / name
    folder.parent.mkdir(exist_ok=True)
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = Path(f"{folder}.done")
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def captured_graph(reference: str, *, in_this_process: bool = False) -> ModelGraph:
    """The graph of a model, as `planc capture` gives it."""
    write = write_captured if in_this_process else _write_in_fork
    key = hashlib.sha256(reference.encode()).hexdigest()[:16]
    folder = once_per_run(
        f"graph-{key}", lambda folder: write(reference, str(folder / "model.graph.json.gz"))
    )
    return read_graph_file(str(folder / "model.graph.json.gz"))


def _write_in_fork(reference: str, path: str) -> None:
    call_in_fork("tests.shared_files:write_captured", reference=reference, path=path)


def write_captured(reference: str, path: str) -> None:
    """Capture a model into a graph file."""
    from planc.graph.graph_writer import write_graph_file
    from planc.torch.capture.from_reference import capture_reference

    write_graph_file(capture_reference(reference), path)
