"""Changes of styles."""

from __future__ import annotations

from random import Random
from typing import Any

from planc.ir.blocks import Rule
from planc.ir.plan import Plan
from planc.ir.styles import STYLES
from tests.mutation.describe import describe_change, entry_text
from tests.mutation.facets import has_facets
from tests.mutation.module_names import ModuleNames
from tests.mutation.record_edits import find_paths, get_at, replace_at, replace_fields
from tests.mutation.records import MutationResult
from tests.mutation.sampling import sample_parts


def swap_style(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """Another style, which keeps the layouts around it."""
    rules = [path for path in find_paths(plan, Rule) if get_at(plan, path).style]
    if not rules:
        return None
    path = rng.choice(rules)
    style = rng.choice([style for style in STYLES if style != get_at(plan, path).style])
    new = replace_at(
        plan, path, replace_fields(get_at(plan, path), style=style, parts=sample_parts(style, rng))
    )
    return new, describe_change(plan, new, path)


def exchange_styles(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """Two rules, each with the style of the other."""
    rules = [path for path in find_paths(plan, Rule) if get_at(plan, path).style]
    pairs = [
        (a, b)
        for a in rules
        for b in rules
        if a < b and _style_and_parts(get_at(plan, a)) != _style_and_parts(get_at(plan, b))
    ]
    if not pairs:
        return None
    first, second = rng.choice(pairs)
    one, two = get_at(plan, first), get_at(plan, second)
    new = replace_at(plan, first, replace_fields(one, style=two.style, parts=two.parts))
    new = replace_at(new, second, replace_fields(two, style=one.style, parts=one.parts))
    return new, f"{entry_text(one)} <=> {entry_text(two)}"


def _style_and_parts(rule: Rule) -> tuple[Any, ...]:
    return rule.style, rule.parts


def drop_style(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """What a rule says beside its style, without the style."""
    rules = [
        path for path in find_paths(plan, Rule) if get_at(plan, path).style and has_facets(get_at(plan, path))
    ]
    if not rules:
        return None
    path = rng.choice(rules)
    new = replace_at(
        plan, path, replace_fields(get_at(plan, path), style=None, parts=(), input=None, output=None)
    )
    return new, describe_change(plan, new, path)
