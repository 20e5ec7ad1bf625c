"""What `make demo` runs: capture a Llama, prove its plan, and check a broken one; then train a small
Llama on four processes, save it, continue on another mesh, and compare the losses with one process.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from planc.cli import main

HERE = Path(__file__).parent
LLAMA = (
    "hf:LlamaForCausalLM?hidden_size=4096&intermediate_size=14336&num_hidden_layers=32"
    "&num_attention_heads=32&num_key_value_heads=8&vocab_size=128256"
)


def planc(*arguments: str, status: int = 0) -> None:
    """Run a command as a user would, and stop the demo if its exit status is another one."""
    print(f"\n$ planc {' '.join(arguments)}\n", flush=True)
    actual = main(arguments)
    sys.stdout.flush()
    if actual != status:
        raise SystemExit(f"demo: 'planc {' '.join(arguments)}' ended with {actual}, not {status}")


def train(dp: int, tp: int, steps: int, *more: str) -> dict[int, float]:
    """Run train_llama.py on dp x tp processes. Returns the loss of each step."""
    arguments = ["--dp", str(dp), "--tp", str(tp), "--steps", str(steps), *more]
    print(f"$ python examples/train_llama.py {' '.join(arguments)}", flush=True)
    done = subprocess.run(
        [sys.executable, str(HERE / "train_llama.py"), *arguments, "--print"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}demo: training ended with {done.returncode}")
    print("".join(f"{line}\n" for line in done.stdout.splitlines() if line.startswith("planc:")), end="")
    return {
        int(step): float(loss)
        for step, loss in re.findall(r"^step +(\d+)  loss (\S+)", done.stdout, re.MULTILINE)
    }


def train_and_compare(folder: str) -> None:
    """Train for twenty steps on 2 x 2, for five more on 4 x 1, and for as many on one process."""
    checkpoint = os.path.join(folder, "checkpoint")
    losses = train(2, 2, 20, "--save", checkpoint) | train(4, 1, 25, "--resume", checkpoint)
    expected = train(1, 1, 25)
    print("\nstep   split over   loss       loss of one process")
    for step, loss in losses.items():
        print(f"{step:4}   {'2 x 2' if step <= 20 else '4 x 1':10}   {loss:.6f}   {expected[step]:.6f}")
    if losses.keys() != expected.keys() or any(
        abs(losses[step] - expected[step]) > 1e-4 for step in expected
    ):
        raise SystemExit("demo: the losses are not those of one process")


def run() -> None:
    """Run the demo; it fails where planc does not do what the README shows."""
    silent = str((HERE / "silent.plan").relative_to(Path.cwd()))
    with tempfile.TemporaryDirectory() as folder:
        # Capturing uses fake tensors: none of the eight billion parameters is allocated.
        graph = os.path.join(folder, "llama-8b.graph.json.gz")
        planc("capture", LLAMA, "-o", graph)
        planc("check", "plans/llama.plan", "--model", graph, "--dp", "2", "--tp", "8")
        planc("show", "plans/llama.plan", "--model", graph, "--dp", "2", "--tp", "8", "--collectives")
        planc("check", silent, "--model", graph, "--dp", "2", "--tp", "8", status=1)
        planc("check", "plans/llama.plan", "--model", graph, "--dp", "2", "--tp", "16", status=1)
        planc("explain", "L706")
        planc("check", "examples/train_llama.plan", "--dp", "2", "--tp", "2")
        train_and_compare(folder)


if __name__ == "__main__":
    run()
