"""Measures of names: those that stand twice, and words of everyday English for exact concepts."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

from tools.measures.codebase import Codebase

ONE_IN_EACH_FILE = {
    "check": "checks/",
    "add_arguments": "commands/",
    "run": "commands/",
    "ModelParallelStrategy": "lightning/",
}
"""Names that each file of a folder defines, since a table or a library calls it by this name."""
WORDS = frozenset(
    re.findall(
        r"\w+",
        """again asked beside beyond bring calm chance chances drawn draws heard held holding kept lay mend mended near
    said say smuggler smuggling speak spoken straight taken told undone unseen untold utter whole""",
    )
)
"""Words that no name has in it."""
NAMES = frozenset(
    re.findall(
        r"\w+",
        """Beside Bound Chance Counted Crossing Cut Differs Fitted Found Fused Gate Held Journal Lay Ledger Local Move Moves
    Names NotKnown Packed Pass Passage Place Placed PlanStop Refused Run Settled Site Split SplitLogits Told Use Way
    ahead alike alone bare behind boxes broken chosen direct divided draw examine exchanged factors form gathered
    governed governs invoke judging kinds like lose move named narrow outside own owned planned products prune reduced
    refuse refused repeated request same scattered shares sound spread stored swap take together unit_part unsplit waste
    watch way ways within written ADAPTING LATE PARTED give_back take_back""",
    )
)
"""Names that such a word is alone."""
LAYOUT_WORDS = frozenset({"Cut", "Layout", "LoweredParam", "ParamShard", "Part", "SpmdType", "Type", "share"})
"""Words for how one parameter lies on the ranks, from the plan to torch."""


def names_defined_twice(code: Codebase) -> list[str]:
    """Public functions and classes of one name in several files."""
    files: dict[str, set[str]] = defaultdict(set)
    for path in code.paths:
        for node in code.public_definitions(path):
            if not code.name(path).startswith(ONE_IN_EACH_FILE.get(node.name, "//")):
                files[node.name].add(code.name(path))
    return [f"{name}: {', '.join(sorted(found))}" for name, found in sorted(files.items()) if len(found) > 1]


def file_names_used_twice(code: Codebase) -> list[str]:
    """File names that several folders have."""
    folders: dict[str, list[str]] = defaultdict(list)
    for path in code.paths:
        if not path.stem.startswith("__"):
            folders[path.name].append(code.name(path.parent))
    return [f"{name}: {', '.join(found)}" for name, found in sorted(folders.items()) if len(found) > 1]


def everyday_words(code: Codebase) -> list[str]:
    """Names of files, classes, functions and methods that are such words, or have one in them."""
    found = []
    for path in code.paths:
        if code.part(path) != "checks":  # a file there has the name of its law
            found += [f"{code.name(path)}: file" for step in _steps(code, path) if is_everyday(step)]
        for node in ast.walk(code.trees[path]):
            # The name of a test is a sentence.
            is_public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith(
                ("_", "test_")
            )
            if is_public and is_everyday(node.name):
                found.append(f"{code.name(path)}: {node.name}")
    return sorted(set(found))


def _steps(code: Codebase, path: Path) -> tuple[str, ...]:
    """The names of a file and its folders. Files of checks have the names of laws, which are public and stay."""
    if code.name(path).startswith("checks/"):
        return ("checks",)
    return path.relative_to(code.folder).with_suffix("").parts


def is_everyday(name: str) -> bool:
    """Whether a name is a word of everyday English for an exact concept, or has one in it."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return name in NAMES or any(word.lower() in WORDS for word in words)


def layout_words(code: Codebase) -> list[str]:
    """Words for the layout of one parameter on its way."""
    return sorted(
        f"{node.name}: {code.name(path)}"
        for path in code.paths
        for node in code.public_definitions(path)
        if node.name in LAYOUT_WORDS and code.name(path) != "ir/blocks.py"  # the parts of a fused projection
    )
