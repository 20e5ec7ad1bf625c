"""Changes of which rules there are, and in which order."""

from __future__ import annotations

from random import Random

from planc.ir.blocks import Rule, TensorBlock
from planc.ir.diagnostic import FieldPath
from planc.ir.pattern import Pattern
from planc.ir.plan import Plan
from tests.mutation.describe import entry_text
from tests.mutation.module_names import ROOT, ModuleNames, generalize, pattern_of
from tests.mutation.record_edits import (
    find_paths,
    get_at,
    insert_at,
    last_index,
    remove_at,
    replace_at,
    replace_fields,
)
from tests.mutation.records import MutationResult
from tests.mutation.sampling import sample_layout, sample_parts, sample_port

_STYLES_BY_CLASS = {
    "Linear": ("colwise", "rowwise", "packed_colwise", "replicate", "sequence"),
    "Conv1D": ("colwise", "rowwise", "packed_colwise", "replicate"),
    "Embedding": ("rowwise", "colwise", "replicate"),
}
"""Styles that are tried for a class; for others, see `_styles_of`."""


def drop_rule(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    rules = find_paths(plan, Rule)
    if not rules:
        return None
    path = rng.choice(rules)
    return remove_at(plan, path), entry_text(get_at(plan, path))


def add_rule(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A rule for a module that has none."""
    block = _choose_block(plan, rng)
    if block is None:
        return None
    free = set(names.all_names) - _modules_with_rules(plan, block, names)
    return _add_rule(
        plan, block, names, rng, [name for name in names.all_names if name in free], override=False
    )


def override_rule(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A rule that takes the place of another one for some of its modules."""
    block = _choose_block(plan, rng)
    if block is None:
        return None
    taken = _modules_with_rules(plan, block, names)
    return _add_rule(
        plan, block, names, rng, [name for name in names.all_names if name in taken], override=True
    )


def _choose_block(plan: Plan, rng: Random) -> FieldPath | None:
    blocks = find_paths(plan, TensorBlock)
    return rng.choice(blocks) if blocks else None


def _modules_with_rules(plan: Plan, block: FieldPath, names: ModuleNames) -> set[str]:
    """The modules that a block has a rule for, whatever its condition."""
    return {name for rule in get_at(plan, block).rules for name in names.matches(rule.pattern, plan)}


def _add_rule(
    plan: Plan, block: FieldPath, names: ModuleNames, rng: Random, among: list[str], *, override: bool
) -> MutationResult:
    name = names.sample(rng, among)
    if name is None:
        return None
    wide = pattern_of(generalize(name), plan)
    one = pattern_of(name, plan)
    taken = _modules_with_rules(plan, block, names)
    pattern = wide if override or taken.isdisjoint(names.matches(wide, plan)) else one
    if not override and rng.random() < 0.05:
        pattern = ROOT
    if rng.random() < 0.2:
        pattern = one
    rule = replace_fields(_rule_for(pattern, names.modules[name].class_name, plan, rng), override=override)
    end = (*block, "rules", len(get_at(plan, block).rules))
    return insert_at(plan, end, rule), entry_text(rule)


def _rule_for(pattern: Pattern, kind: str, plan: Plan, rng: Random) -> Rule:
    styles = _STYLES_BY_CLASS.get(kind) or (("sequence", "replicate") if "Norm" in kind else ("replicate",))
    if pattern == ROOT or (kind not in _STYLES_BY_CLASS and rng.random() < 0.6):
        port = sample_port(plan, rng)
        side = rng.choice(("inputs", "outputs"))
        return Rule(pattern, inputs=(port,)) if side == "inputs" else Rule(pattern, outputs=(port,))
    style = rng.choice(styles)
    output = sample_layout(plan, rng, after=True) if style == "rowwise" and rng.random() < 0.5 else None
    return Rule(pattern, style, parts=sample_parts(style, rng), output=output)


def duplicate_rule(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A rule for one of the modules of another rule, which says the same of it once more."""
    rules = [
        path for path in find_paths(plan, Rule) if len(names.matches(get_at(plan, path).pattern, plan)) > 1
    ]
    if not rules:
        return None
    path = rng.choice(rules)
    old = get_at(plan, path)
    wanted = names.sample(rng, names.matches(old.pattern, plan))
    assert wanted is not None
    new = replace_fields(old, pattern=pattern_of(wanted, plan), override=True)
    return insert_at(plan, (*path[:-1], last_index(path) + 1), new), entry_text(new)


def exchange_rules(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """Two rules, each with the pattern of the other: both are moved to other modules."""
    rules = find_paths(plan, Rule)
    if len(rules) < 2:
        return None
    first, second = rng.sample(rules, 2)
    one, two = get_at(plan, first), get_at(plan, second)
    new = replace_at(plan, (*first, "pattern"), two.pattern)
    return replace_at(new, (*second, "pattern"), one.pattern), f"{entry_text(one)} <=> {entry_text(two)}"


def move_rule(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A rule at another place. Order counts only where one overrides another."""
    block = _choose_block(plan, rng)
    rules = get_at(plan, block).rules if block else ()
    if block is None or len(rules) < 2 or any(rule.override for rule in rules):
        return None
    old, new = rng.sample(range(len(rules)), 2)
    moved = insert_at(remove_at(plan, (*block, "rules", old)), (*block, "rules", new), rules[old])
    return moved, f"{entry_text(rules[old])}, from place {old + 1} to {new + 1}"


def shuffle_rules(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """All rules in another order."""
    block = _choose_block(plan, rng)
    rules = get_at(plan, block).rules if block else ()
    if block is None or len(rules) < 2 or any(rule.override for rule in rules):
        return None
    order = rng.sample(range(len(rules)), len(rules))
    new = replace_at(plan, (*block, "rules"), tuple(rules[i] for i in order))
    return new, f"rules of {get_at(plan, block).axis} in the order {' '.join(str(i + 1) for i in order)}"
