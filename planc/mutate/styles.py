"""Changes of styles."""

from __future__ import annotations

from random import Random
from typing import Any

from planc.blocks.tensor import Rule
from planc.ir.plan import Plan
from planc.mutate.draw import draw_parts
from planc.mutate.edit import at, paths, put, with_
from planc.mutate.facets import has_facets
from planc.mutate.names import Names
from planc.mutate.records import Made
from planc.mutate.saying import changed, line
from planc.styles import STYLES


def swap_style(plan: Plan, names: Names, chance: Random) -> Made:
    """Another style, which keeps the layouts around it."""
    rules = [path for path in paths(plan, Rule) if at(plan, path).style]
    if not rules:
        return None
    path = chance.choice(rules)
    style = chance.choice([style for style in STYLES if style != at(plan, path).style])
    new = put(plan, path, with_(at(plan, path), style=style, parts=draw_parts(style, chance)))
    return new, changed(plan, new, path)


def exchange_styles(plan: Plan, names: Names, chance: Random) -> Made:
    """Two rules, each with the style of the other."""
    rules = [path for path in paths(plan, Rule) if at(plan, path).style]
    pairs = [(a, b) for a in rules for b in rules if a < b and _styled(at(plan, a)) != _styled(at(plan, b))]
    if not pairs:
        return None
    first, second = chance.choice(pairs)
    one, two = at(plan, first), at(plan, second)
    new = put(plan, first, with_(one, style=two.style, parts=two.parts))
    new = put(new, second, with_(two, style=one.style, parts=one.parts))
    return new, f"{line(one)} <=> {line(two)}"


def _styled(rule: Rule) -> tuple[Any, ...]:
    return rule.style, rule.parts


def drop_style(plan: Plan, names: Names, chance: Random) -> Made:
    """What a rule says beside its style, without the style."""
    rules = [path for path in paths(plan, Rule) if at(plan, path).style and has_facets(at(plan, path))]
    if not rules:
        return None
    path = chance.choice(rules)
    new = put(plan, path, with_(at(plan, path), style=None, parts=(), input=None, output=None))
    return new, changed(plan, new, path)
