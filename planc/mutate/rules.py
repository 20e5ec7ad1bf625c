"""Changes of which rules there are, and of their styles."""

from __future__ import annotations

from random import Random
from typing import Any

from planc.blocks.tensor import Attribute, Part, Port, Rule, TensorBlock
from planc.ir.diagnostic import Path
from planc.ir.expr import Const, Expr
from planc.ir.layout import PARTIAL, REPLICATE, Layout, Named, Shard
from planc.ir.pattern import Pattern
from planc.ir.plan import LayoutLet, Plan
from planc.mutate.edit import at, drop, insert, paths, position, put, with_
from planc.mutate.names import ROOT, Names, general, pattern_of
from planc.mutate.records import Made
from planc.mutate.saying import changed, line
from planc.styles import STYLES

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


def draw_port(plan: Plan, chance: Random) -> Port:
    before = draw_layout(plan, chance)
    return Port(
        chance.choice((0, 0, 0, 0, 1, "hidden_states")), before, draw_layout(plan, chance, after=True)
    )


def draw_parts(style: str, chance: Random) -> tuple[Part, ...]:
    return (Part(Const(chance.choice((2, 3)))),) if STYLES[style].parts != "none" else ()


def draw_layout(plan: Plan, chance: Random, other: Layout | None = None, *, after: bool = False) -> Layout:
    """A layout that is not the other one; what plans say oftener is drawn oftener. `after` an arrow
    nothing becomes partial."""
    named = [Named(let.name) for let in plan.lets if isinstance(let, LayoutLet)]
    known: list[Layout] = [REPLICATE, REPLICATE, Shard(1), Shard(1), Shard(-1), Shard(-1), Shard(2), Shard(0)]
    known += [*named, *named]
    if not after:
        known.append(PARTIAL)
    return chance.choice([layout for layout in known if layout != other])


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
    rules = [path for path in paths(plan, Rule) if at(plan, path).style and _facets(at(plan, path))]
    if not rules:
        return None
    path = chance.choice(rules)
    new = put(plan, path, with_(at(plan, path), style=None, parts=(), input=None, output=None))
    return new, changed(plan, new, path)


def drop_facet(plan: Plan, names: Names, chance: Random) -> Made:
    """A port, a parameter or an attribute less; what would say nothing any more goes."""
    found = [
        (path, facet, i)
        for path in paths(plan, Rule)
        for facet in ("inputs", "outputs", "params", "attributes")
        for i in range(len(getattr(at(plan, path), facet)))
    ]
    if not found:
        return None
    path, facet, i = chance.choice(found)
    new = drop(plan, (*path, facet, i))
    if at(new, path).style is None and not _facets(at(new, path)):
        return drop(plan, path), f"{line(at(plan, path))}, whole"
    return new, changed(plan, new, path)


def add_port(plan: Plan, names: Names, chance: Random) -> Made:
    """A change of layout more, beside what a rule says."""
    rules = paths(plan, Rule)
    if not rules:
        return None
    path, side = chance.choice(rules), chance.choice(("inputs", "outputs"))
    port, ports = draw_port(plan, chance), getattr(at(plan, path), side)
    if any(port.key == other.key for other in ports):
        return None
    new = put(plan, (*path, side), (*ports, port))
    return new, changed(plan, new, path)


def add_attribute(plan: Plan, names: Names, chance: Random) -> Made:
    """A number of a module's own that becomes a rank's share of it."""
    rules = [(path, name) for path in paths(plan, Rule) for name in _numbers(at(plan, path), names, plan)]
    if not rules:
        return None
    path, name = chance.choice(rules)
    value = Expr.parse(
        f"{names_value(names, at(plan, path).pattern, name, plan)} // {at(plan, path[:2]).axis}"
    )
    new = put(plan, (*path, "attributes"), (*at(plan, path).attributes, Attribute(name, value)))
    return new, changed(plan, new, path)


def _numbers(rule: Rule, names: Names, plan: Plan) -> list[str]:
    """Attributes that the code of a rule's modules reads, and that the rule does not set."""
    said = {attribute.name for attribute in rule.attributes}
    modules = names.matched(rule.pattern, plan)[:1]
    return [n for m in modules for n in names.attributes(m) if n not in said]


def names_value(names: Names, pattern: Pattern, attribute: str, plan: Plan) -> int:
    return names.modules[names.matched(pattern, plan)[0]].attributes[attribute]


def _facets(rule: Rule) -> bool:
    return bool(rule.inputs or rule.outputs or rule.params or rule.attributes)
