"""Changes of several rules at once: what is split, and where its boundary lies."""

from __future__ import annotations

from random import Random

from planc.ir.blocks import Rule, TensorBlock
from planc.ir.diagnostic import FieldPath
from planc.ir.plan import Plan
from planc.ir.styles import STYLES
from tests.mutation.describe import entry_text
from tests.mutation.module_names import ModuleNames, expand_let
from tests.mutation.record_edits import find_paths, get_at, remove_at, replace_at, replace_fields
from tests.mutation.records import MutationResult


def drop_subtree(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """No rule for a module and what lies in it: all of it stays whole, as attention beside split MLPs."""
    found = [path for path in find_paths(plan, Rule) if len(_rules_inside(plan, path, names)) > 1]
    if not found:
        return None
    gone = _rules_inside(plan, rng.choice(found), names)
    new = plan
    for path in reversed(gone):
        new = remove_at(new, path)
    return new, "; ".join(entry_text(get_at(plan, path)) for path in gone)


def _rules_inside(plan: Plan, path: FieldPath, names: ModuleNames) -> list[FieldPath]:
    """The rules of a block that speak of nothing but the modules of one rule and what lies in them."""
    tops = set(names.matches(get_at(plan, path).pattern, plan))

    def is_inside(name: str) -> bool:
        parts = name.split(".")
        return any(".".join(parts[: i + 1]) in tops for i in range(len(parts)))

    found = []
    for i, rule in enumerate(get_at(plan, path[:2]).rules):
        matched = names.matches(rule.pattern, plan)
        if matched and all(map(is_inside, matched)):
            found.append((*path[:3], i))
    return found


def push_port(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A change at a module's argument, at the split modules in it instead: each of them makes it by itself."""
    found = []
    for path in find_paths(plan, Rule):
        rule = get_at(plan, path)
        below = _consumers(plan, path) if len(rule.inputs) == 1 and rule.style is None else []
        if below:
            found.append((path, below))
    if not found:
        return None
    path, below = rng.choice(found)
    rule = get_at(plan, path)
    new = plan
    for inner in below:
        new = replace_at(new, (*inner, "input"), rule.inputs[0].before)
    rest = replace_fields(rule, inputs=())
    alone = not (rest.outputs or rest.params or rest.attributes)
    says = f"{entry_text(rule)} => {'; '.join(entry_text(get_at(new, inner)) for inner in below)}"
    return (remove_at(new, path) if alone else replace_at(new, path, rest)), says


def _consumers(plan: Plan, path: FieldPath) -> list[FieldPath]:
    """The rules for what lies directly in a rule's modules and takes what its port gives."""
    rule, above = get_at(plan, path), expand_let(get_at(plan, path).pattern, plan).segments
    block: TensorBlock = get_at(plan, path[:2])
    found: list[FieldPath] = []
    for i, other in enumerate(block.rules):
        style = STYLES.get(other.style or "")
        inside = expand_let(other.pattern, plan).segments[:-1] == above
        if inside and style and other.input is None and style.input == rule.inputs[0].after:
            found.append((*path[:3], i))
    return found
