"""The examples that train, as users start them: by Python, then Lightning makes the processes, or by torchrun."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.rank_pool import run_on_ranks

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if "RANK" not in name and "WORLD" not in name},
    "TORCH_COMPILE_DISABLE": "1",
    "PYTHONWARNINGS": "ignore",
}


def run(name: str, *arguments: str) -> str:
    """What an example prints; its errors are a fault."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def torchrun(count: int, name: str, *arguments: str) -> str:
    """What the first of some ranks prints, started as torchrun starts them."""
    given = {"name": name, "arguments": arguments}
    return str(run_on_ranks(count, "lightning.examples:run_example", fresh=True, **given)[0])


def losses(printed: str) -> dict[int, float]:
    return {int(step): float(loss) for step, loss in re.findall(r"step +(\d+)  loss (\S+)", printed)}


def test_a_llama_is_saved_and_goes_on_with_another_mesh(tmp_path: Path) -> None:
    small = ("--width", "32", "--depth", "2", "--print")
    saved = str(tmp_path / "checkpoint")
    split = losses(run("train_llama.py", "--dp", "1", "--tp", "2", "--steps", "3", "--save", saved, *small))
    mesh = ("--dp", "2", "--tp", "1")
    split |= losses(torchrun(2, "train_llama.py", *mesh, "--steps", "5", "--resume", saved, *small))
    whole = losses(torchrun(1, "train_llama.py", "--dp", "1", "--tp", "1", "--steps", "5", *small))
    assert split.keys() == whole.keys() == {1, 2, 3, 4, 5}
    assert all(abs(split[step] - whole[step]) < 1e-4 for step in whole)


def test_real_weights_are_fine_tuned() -> None:
    printed = torchrun(2, "finetune_bert.py", "--steps", "1")
    found = re.search(r"largest difference from the unsplit model: (\S+)", printed)
    assert found is not None
    assert float(found[1]) < 1e-5


def test_fabric() -> None:
    printed = run("fabric.py", "--dp", "1", "--tp", "2", "--steps", "3")
    found = losses(printed)
    assert found.keys() == {0, 1, 2}
    assert found[2] < found[0]
    assert "saved and loaded after step 3" in printed
