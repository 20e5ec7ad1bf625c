"""A path that names a pipe, a device, a socket or a folder is refused at once: nothing waits for a writer."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

import planc
from planc.cli import main
from planc.syntax.read_file import PlanFileError

KINDS = {"pipe": "is a pipe", "device": "is a device", "folder": "is a directory", "socket": "is a socket"}
COMMANDS = [
    "check {}.plan",
    "check {}.yaml",
    "check {}.json",
    "fmt {}.plan",
    "show {}.plan",
    "convert {}.plan --to json",
    "verify {}.plan --model model.py:build",
    "check plain.plan --model {}.graph.json.gz",
    "check plain.plan --model {}.graph.json",
    "check plain.plan --model hf:{}.json",
    "check plain.plan --model {}.py:build",
    "check extends-{}.plan",
    "check model-{}.plan",
    "capture {}.graph.json.gz -o new.graph.json.gz",
    "capture hf:{}.json -o new.graph.json.gz",
    "capture {}.py:build -o new.graph.json.gz",
]


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    """Raise where a read waits."""

    def waited(number: int, frame: FrameType | None) -> None:
        raise AssertionError("planc waits for a file")

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def make(path: Path, kind: str) -> None:
    """Something that is not a regular file."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.plan").write_text("mesh tp\ntensor tp {\n    up  colwise\n}\n")
    for kind in KINDS:
        for suffix in (".plan", ".yaml", ".json", ".graph.json.gz", ".graph.json", ".py"):
            make(tmp_path / f"{kind}{suffix}", kind)
        (tmp_path / f"extends-{kind}.plan").write_text(f'extends "{kind}.plan"\n')
        (tmp_path / f"model-{kind}.plan").write_text(f'model "{kind}.graph.json.gz"\nmesh tp\n')
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_refuses_it(
    command: str, kind: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(command.format(kind).split())
    out, err = capsys.readouterr()
    assert status in (1, 2)
    assert "Traceback" not in out + err
    extends = {"device": "below its own folder"}.get(kind, "is not a file")
    wanted = extends if command.startswith("check extends") else KINDS[kind]
    assert wanted in out + err, out + err


@pytest.mark.parametrize("kind", KINDS)
def test_the_library_refuses_it(kind: str, folder: Path) -> None:
    with pytest.raises(PlanFileError, match=KINDS[kind]):
        planc.check(f"{kind}.plan")
    with pytest.raises(planc.ModelFault, match=KINDS[kind]):
        planc.check("llama", model=f"{kind}.graph.json.gz")


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_weights_are_refused(kind: str, folder: Path) -> None:
    import torch

    model = torch.nn.Linear(2, 2)
    for suffix in (".safetensors", ".pt"):
        make(folder / f"weights-{kind}{suffix}", kind)
        with pytest.raises(planc.WeightsError, match=KINDS[kind]):
            planc.load_weights(model, folder / f"weights-{kind}{suffix}")
    for name in ("model.safetensors.index.json", "model.safetensors"):
        make(folder / name, kind)
        with pytest.raises(planc.WeightsError, match=KINDS[kind]):
            planc.load_weights(model, folder)
        (folder / name).unlink()


def test_a_pipe_gets_a_hint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "pipe.plan"]) == 2
    err = capsys.readouterr().err
    assert err == "planc: pipe.plan: is a pipe, not a regular file; the name - reads standard input\n"
