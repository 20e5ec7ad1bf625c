"""Changes of which rules there are, and in which order."""

from __future__ import annotations

from random import Random

from planc.blocks.tensor import Rule, TensorBlock
from planc.ir.diagnostic import Path
from planc.ir.pattern import Pattern
from planc.ir.plan import Plan
from planc.mutate.draw import draw_layout, draw_parts, draw_port
from planc.mutate.edit import at, drop, insert, paths, position, put, with_
from planc.mutate.names import ROOT, Names, general, pattern_of
from planc.mutate.records import Made
from planc.mutate.saying import line

_FITTING = {
    "Linear": ("colwise", "rowwise", "packed_colwise", "replicate", "sequence"),
    "Conv1D": ("colwise", "rowwise", "packed_colwise", "replicate"),
    "Embedding": ("rowwise", "colwise", "replicate"),
}
"""Styles that are tried for a class; for others, see `_styles_of`."""


def drop_rule(plan: Plan, names: Names, chance: Random) -> Made:
    rules = paths(plan, Rule)
    if not rules:
        return None
    path = chance.choice(rules)
    return drop(plan, path), line(at(plan, path))


def add_rule(plan: Plan, names: Names, chance: Random) -> Made:
    """A rule for a module that has none."""
    block = _block(plan, chance)
    if block is None:
        return None
    free = set(names.every) - _ruled(plan, block, names)
    return _added(plan, block, names, chance, [name for name in names.every if name in free], override=False)


def override_rule(plan: Plan, names: Names, chance: Random) -> Made:
    """A rule that takes the place of another one for some of its modules."""
    block = _block(plan, chance)
    if block is None:
        return None
    taken = _ruled(plan, block, names)
    return _added(plan, block, names, chance, [name for name in names.every if name in taken], override=True)


def _block(plan: Plan, chance: Random) -> Path | None:
    blocks = paths(plan, TensorBlock)
    return chance.choice(blocks) if blocks else None


def _ruled(plan: Plan, block: Path, names: Names) -> set[str]:
    """The modules that a block has a rule for, whatever its condition."""
    return {name for rule in at(plan, block).rules for name in names.matched(rule.pattern, plan)}


def _added(
    plan: Plan, block: Path, names: Names, chance: Random, among: list[str], *, override: bool
) -> Made:
    name = names.draw(chance, among)
    if name is None:
        return None
    wide = pattern_of(general(name), plan)
    one = pattern_of(name, plan)
    taken = _ruled(plan, block, names)
    pattern = wide if override or taken.isdisjoint(names.matched(wide, plan)) else one
    if not override and chance.random() < 0.05:
        pattern = ROOT
    if chance.random() < 0.2:
        pattern = one
    rule = with_(_rule_for(pattern, names.modules[name].class_name, plan, chance), override=override)
    end = (*block, "rules", len(at(plan, block).rules))
    return insert(plan, end, rule), line(rule)


def _rule_for(pattern: Pattern, kind: str, plan: Plan, chance: Random) -> Rule:
    styles = _FITTING.get(kind) or (("sequence", "replicate") if "Norm" in kind else ("replicate",))
    if pattern == ROOT or (kind not in _FITTING and chance.random() < 0.6):
        port = draw_port(plan, chance)
        side = chance.choice(("inputs", "outputs"))
        return Rule(pattern, inputs=(port,)) if side == "inputs" else Rule(pattern, outputs=(port,))
    style = chance.choice(styles)
    output = draw_layout(plan, chance, after=True) if style == "rowwise" and chance.random() < 0.5 else None
    return Rule(pattern, style, parts=draw_parts(style, chance), output=output)


def duplicate_rule(plan: Plan, names: Names, chance: Random) -> Made:
    """A rule for one of the modules of another rule, which says the same of it once more."""
    rules = [path for path in paths(plan, Rule) if len(names.matched(at(plan, path).pattern, plan)) > 1]
    if not rules:
        return None
    path = chance.choice(rules)
    old = at(plan, path)
    wanted = names.draw(chance, names.matched(old.pattern, plan))
    assert wanted is not None
    new = with_(old, pattern=pattern_of(wanted, plan), override=True)
    return insert(plan, (*path[:-1], position(path) + 1), new), line(new)


def exchange_rules(plan: Plan, names: Names, chance: Random) -> Made:
    """Two rules, each with the pattern of the other: both are moved to other modules."""
    rules = paths(plan, Rule)
    if len(rules) < 2:
        return None
    first, second = chance.sample(rules, 2)
    one, two = at(plan, first), at(plan, second)
    new = put(plan, (*first, "pattern"), two.pattern)
    return put(new, (*second, "pattern"), one.pattern), f"{line(one)} <=> {line(two)}"


def move_rule(plan: Plan, names: Names, chance: Random) -> Made:
    """A rule at another place. Order counts only where one overrides another."""
    block = _block(plan, chance)
    rules = at(plan, block).rules if block else ()
    if block is None or len(rules) < 2 or any(rule.override for rule in rules):
        return None
    old, new = chance.sample(range(len(rules)), 2)
    moved = insert(drop(plan, (*block, "rules", old)), (*block, "rules", new), rules[old])
    return moved, f"{line(rules[old])}, from place {old + 1} to {new + 1}"


def shuffle_rules(plan: Plan, names: Names, chance: Random) -> Made:
    """All rules in another order."""
    block = _block(plan, chance)
    rules = at(plan, block).rules if block else ()
    if block is None or len(rules) < 2 or any(rule.override for rule in rules):
        return None
    order = chance.sample(range(len(rules)), len(rules))
    new = put(plan, (*block, "rules"), tuple(rules[i] for i in order))
    return new, f"rules of {at(plan, block).axis} in the order {' '.join(str(i + 1) for i in order)}"
