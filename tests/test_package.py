"""What is installed: the wheel holds the grammar and the plans, and works without the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    done = subprocess.run([sys.executable, "-c", build], cwd=ROOT, capture_output=True, text=True, check=True)
    return folder / done.stdout.strip().splitlines()[-1]


def test_the_wheel_holds_what_planc_needs(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("grammar/plan.lark", "plans/llama.plan", "py.typed"):
        assert f"planc/{name}" in names
    assert not [name for name in names if name.startswith(("tests", "grammar", "plans"))]


def test_the_wheel_works_by_itself(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    program = (
        "import planc, sys; from planc.cli import main; print(planc.__file__); sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "check", "qwen3", "--tp", "8"]
    environment = {"PYTHONPATH": str(tmp_path / "site"), "PLANC_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout.startswith(str(tmp_path / "site"))
    assert list((tmp_path / "cache").iterdir()), "the grammar's tables are kept"


def test_a_cache_that_others_may_write_is_not_used(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    command = [sys.executable, "-m", "planc", "check", "llama", "--tp", "8", "-q"]
    environment = {"PLANC_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x80\x04."])
def test_a_damaged_cache_is_written_anew(content: bytes, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "planc", "check", "llama", "--tp", "8", "-q"]
    environment = {"PLANC_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    for _ in range(2):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        (file,) = (tmp_path / "cache").iterdir()
        file.write_bytes(content)


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "planc", "check", "llama", "--tp", "8", "-q"]
    environment = {"PLANC_CACHE_DIR": "/dev/null/planc", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
