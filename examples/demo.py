"""What `make demo` runs: capture a Llama, prove its plan, break it, and see what planc says."""

from __future__ import annotations

import os
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
    """Run a command as a user would, and stop the demo if it does not end as it should."""
    print(f"\n$ planc {' '.join(arguments)}\n", flush=True)
    got = main(arguments)
    sys.stdout.flush()
    if got != status:
        raise SystemExit(f"demo: 'planc {' '.join(arguments)}' ended with {got}, not {status}")


def run() -> None:
    """The demo: it fails where planc does not do what the README says."""
    silent = str((HERE / "silent.plan").relative_to(Path.cwd()))
    with tempfile.TemporaryDirectory() as folder:
        # Captured on fake tensors: eight billion parameters, none of them allocated.
        graph = os.path.join(folder, "llama-8b.graph.json.gz")
        planc("capture", LLAMA, "-o", graph)
        planc("check", "plans/llama.plan", "--model", graph, "--dp", "2", "--tp", "8")
        planc("show", "plans/llama.plan", "--model", graph, "--dp", "2", "--tp", "8", "--collectives")
        planc("check", silent, "--model", graph, "--dp", "2", "--tp", "8", status=1)
        planc("check", "plans/llama.plan", "--model", graph, "--dp", "2", "--tp", "16", status=1)
    planc("explain", "L706")


if __name__ == "__main__":
    run()
