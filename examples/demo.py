"""What `make demo` runs: check a plan, draw it, and see what a broken one gives."""

from __future__ import annotations

import sys
from pathlib import Path

from planc.cli import main

HERE = Path(__file__).parent


def planc(*arguments: str, status: int = 0) -> None:
    """Run a command as a user would, and stop the demo if it does not end as it should."""
    print(f"\n$ planc {' '.join(arguments)}\n", flush=True)
    got = main(arguments)
    sys.stdout.flush()
    if got != status:
        raise SystemExit(f"demo: 'planc {' '.join(arguments)}' ended with {got}, not {status}")


def run() -> None:
    """The demo: it fails where planc does not do what the README says."""
    broken = str((HERE / "broken.plan").relative_to(Path.cwd()))
    planc("check", "plans/llama.plan", "--dp", "2", "--tp", "8")
    planc("show", "plans/llama.plan", "--dp", "2", "--tp", "8")
    planc("check", broken, "--tp", "8", status=1)
    planc("explain", "R301")


if __name__ == "__main__":
    run()
