"""Changes of several rules at once: what is split, and where its boundary lies."""

from __future__ import annotations

from random import Random

from planc.blocks.tensor import Rule, TensorBlock
from planc.ir.diagnostic import Path
from planc.ir.plan import Plan
from planc.mutate.edit import at, drop, paths, put, with_
from planc.mutate.names import Names, expanded
from planc.mutate.records import Made
from planc.mutate.saying import line
from planc.styles import STYLES


def drop_inside(plan: Plan, names: Names, chance: Random) -> Made:
    """No rule for a module and what lies in it: all of it stays whole, as attention beside split MLPs."""
    found = [path for path in paths(plan, Rule) if len(_inside(plan, path, names)) > 1]
    if not found:
        return None
    gone = _inside(plan, chance.choice(found), names)
    new = plan
    for path in reversed(gone):
        new = drop(new, path)
    return new, "; ".join(line(at(plan, path)) for path in gone)


def _inside(plan: Plan, path: Path, names: Names) -> list[Path]:
    """The rules of a block that speak of nothing but the modules of one rule and what lies in them."""
    tops = set(names.matched(at(plan, path).pattern, plan))

    def within(name: str) -> bool:
        parts = name.split(".")
        return any(".".join(parts[: i + 1]) in tops for i in range(len(parts)))

    found = []
    for i, rule in enumerate(at(plan, path[:2]).rules):
        matched = names.matched(rule.pattern, plan)
        if matched and all(map(within, matched)):
            found.append((*path[:3], i))
    return found


def push_port(plan: Plan, names: Names, chance: Random) -> Made:
    """A change at a module's argument, at the split modules in it instead: each of them makes it by itself."""
    found = []
    for path in paths(plan, Rule):
        rule = at(plan, path)
        below = _taking(plan, path) if len(rule.inputs) == 1 and rule.style is None else []
        if below:
            found.append((path, below))
    if not found:
        return None
    path, below = chance.choice(found)
    rule = at(plan, path)
    new = plan
    for inner in below:
        new = put(new, (*inner, "input"), rule.inputs[0].before)
    rest = with_(rule, inputs=())
    alone = not (rest.outputs or rest.params or rest.attributes)
    says = f"{line(rule)} => {'; '.join(line(at(new, inner)) for inner in below)}"
    return (drop(new, path) if alone else put(new, path, rest)), says


def _taking(plan: Plan, path: Path) -> list[Path]:
    """The rules for what lies directly in a rule's modules and takes what its port gives."""
    rule, above = at(plan, path), expanded(at(plan, path).pattern, plan).segments
    block: TensorBlock = at(plan, path[:2])
    found: list[Path] = []
    for i, other in enumerate(block.rules):
        style = STYLES.get(other.style or "")
        inside = expanded(other.pattern, plan).segments[:-1] == above
        if inside and style and other.input is None and style.input == rule.inputs[0].after:
            found.append((*path[:3], i))
    return found
