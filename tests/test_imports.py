"""What is loaded when: `import planc` and no command ever loads torch and its like."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "lightning", "lightning_fabric", "pytorch_lightning", "transformers", "numpy")
PLAN = str(Path(__file__).parent.parent / "plans" / "llama.plan")

# A module of each heavy name that says so when it is imported, in front of the real ones.
PROBE = """
import json, sys
from importlib.abc import MetaPathFinder

class Watch(MetaPathFinder):
    seen = []
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {heavy!r}:
            self.seen.append(name)
            raise ImportError(name)  # nobody waits for it
        return None

sys.meta_path.insert(0, Watch())
try:
    {code}
except (SystemExit, ImportError):
    pass
sys.stderr.write("\\nLOADED " + json.dumps([Watch.seen, sorted(sys.modules)]))
"""


def loaded(code: str) -> tuple[list[str], set[str]]:
    """The heavy modules that some code asked for, and all modules that it loaded."""
    program = PROBE.format(heavy=HEAVY, code=code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy, modules = json.loads(done.stderr.rpartition("LOADED ")[2])
    return heavy, set(modules)


COMMANDS = [
    ["check", PLAN, "--tp", "8"],
    ["check", PLAN, "--tp", "8", "--format", "json"],
    ["check", PLAN, "--tp", "8", "--format", "sarif"],
    ["check", PLAN, "--tp", "8", "--format", "github"],
    ["show", PLAN],
    ["fmt", "--check", PLAN],
    ["convert", PLAN, "--to", "json"],
    ["convert", PLAN, "--to", "yaml"],
    ["convert", PLAN, "--to", "python"],
    ["schema"],
    ["explain", "--list"],
]


def test_import_planc_is_light() -> None:
    heavy, modules = loaded("import planc")
    assert heavy == []
    assert not {"lark", "pydantic", "rich", "yaml", "dataclasses"} & modules


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_no_command_loads_torch(arguments: list[str]) -> None:
    heavy, _ = loaded(f"from planc.cli import main; main({arguments!r})")
    assert heavy == []


def test_check_loads_only_what_it_needs() -> None:
    """A plan without a fault is checked without pydantic, rich, yaml, json and difflib."""
    _, modules = loaded(f"from planc.cli import main; main({COMMANDS[0]!r})")
    # The probe itself loads json.
    assert not {"pydantic", "pydantic_core", "rich", "yaml", "difflib", "numpy"} & modules


@pytest.mark.parametrize("name", HEAVY)
def test_the_guard_can_fail(name: str) -> None:
    heavy, _ = loaded(f"import {name}")
    assert heavy[0] == name
