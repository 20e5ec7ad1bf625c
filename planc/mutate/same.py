"""Neighbours that say the same in other words. Whoever judges one otherwise is wrong."""

from __future__ import annotations

from random import Random

from planc.blocks.tensor import Rule
from planc.ir.diagnostic import Path
from planc.ir.expr import Binary, Expr
from planc.ir.layout import Layout, Named
from planc.ir.pattern import Choice, Pattern
from planc.ir.plan import LayoutLet, PatternLet, Plan
from planc.mutate.edit import at, drop, insert, paths, put, with_
from planc.mutate.names import Names, expanded, let_of, pattern_of
from planc.mutate.numbers import contrary
from planc.mutate.records import Made
from planc.mutate.saying import changed, line


def split_choice(plan: Plan, names: Names, chance: Random) -> Made:
    """A rule with a choice as one rule for each of its names."""
    found = [
        (path, i, j)
        for path in paths(plan, Rule)
        for i, segment in enumerate(at(plan, path).pattern.segments)
        for j, piece in enumerate(segment)
        if isinstance(piece, Choice) and not piece.negated and len(piece.items) > 1
    ]
    if not found:
        return None
    path, i, j = chance.choice(found)
    choice = at(plan, path).pattern.segments[i][j]
    split = [_with_piece(at(plan, path).pattern, i, j, Choice((name,))) for name in choice.items]
    return _split(plan, path, split) if all(_is_full(one, plan, names) for one in split) else None


def _is_full(pattern: Pattern, plan: Plan, names: Names) -> bool:
    """Whether each name that the braces of a pattern spell out is there: what matched somewhere beside
    another name need not do so alone."""
    every = expanded(pattern, plan).alternatives()
    return all(names.matched(Pattern.parse(".".join(one)), plan) for one in every)


def _with_piece(pattern: Pattern, i: int, j: int, piece: Choice) -> Pattern:
    segment = (*pattern.segments[i][:j], piece, *pattern.segments[i][j + 1 :])
    return with_(pattern, segments=(*pattern.segments[:i], segment, *pattern.segments[i + 1 :]))


def split_star(plan: Plan, names: Names, chance: Random) -> Made:
    """A rule for all layers as one for the first and one for the others. Braces must match in every layer
    that they are spelt out for, which they need not do as one pattern: only plain names stay."""
    found = []
    for path in paths(plan, Rule):
        whole = expanded(at(plan, path).pattern, plan)
        plain = all(piece == "*" or isinstance(piece, str) for s in whole.segments for piece in s)
        stars = [i for i, segment in enumerate(whole.segments) if segment == ("*",)]
        if plain and stars and ("**",) not in whole.segments and not at(plan, path).attributes:
            found.append((path, whole, chance.choice(stars)))
    if not found:
        return None
    path, whole, i = chance.choice(found)
    here = {name.split(".")[i] for name in names.matched(whole, plan)}
    if len(here) < 2:
        return None
    one = min(here)
    sides = [Choice((one,)), Choice((one,), negated=True)]
    return _split(plan, path, [_with_piece(whole, i, 0, side) for side in sides])


def spell_modules(plan: Plan, names: Names, chance: Random) -> Made:
    """A rule as one for each module that its pattern names."""
    found = [
        path
        for path in paths(plan, Rule)
        if 1 < len(names.matched(at(plan, path).pattern, plan)) <= 12 and not at(plan, path).attributes
    ]
    if not found:
        return None
    path = chance.choice(found)
    modules = names.matched(at(plan, path).pattern, plan)
    return _split(plan, path, [pattern_of(name, plan) for name in modules])


def split_conditions(plan: Plan, names: Names, chance: Random) -> Made:
    """A rule under a condition, and the same one under its contrary."""
    options = [option.name for option in plan.options if isinstance(option.value, bool)]
    if not options:
        return None
    switch = Expr.parse(chance.choice(options))
    found = [path for path in paths(plan, Rule) if not at(plan, path).override]
    return _under(plan, chance.choice(found), switch) if found else None


def _under(plan: Plan, path: Path, switch: Expr) -> Made:
    old = at(plan, path)
    new = [with_(old, when=_both(old.when, side)) for side in (switch, contrary(switch))]
    return _replaced(plan, path, new)


def _both(when: Expr | None, more: Expr) -> Expr:
    return more if when is None else Binary("and", when, more)


def inline_layout(plan: Plan, names: Names, chance: Random) -> Made:
    """A rule with the layouts of a let worked in: two rules where the let stands under a condition."""
    lets = {let.name: let for let in plan.lets if isinstance(let, LayoutLet)}
    found = [path for path in paths(plan, Named) if path[0] == "blocks" and at(plan, path).name in lets]
    found = [path for path in found if not at(plan, path[:4]).override]
    if not found:
        return None
    path = chance.choice(found)
    let = lets[at(plan, path).name]
    rule, old = path[:4], at(plan, path[:4])
    if let.when is None or let.otherwise is None:
        return _replaced(plan, rule, [_worked_in(old, let.name, let.layout)])
    return _replaced(
        plan,
        rule,
        [
            with_(_worked_in(old, let.name, let.layout), when=_both(old.when, let.when)),
            with_(_worked_in(old, let.name, let.otherwise), when=_both(old.when, contrary(let.when))),
        ],
    )


def _worked_in(rule: Rule, name: str, layout: Layout) -> Rule:
    """A rule with a layout in the place of a name, wherever it says it."""

    def side(said: Layout | None) -> Layout | None:
        return layout if said == Named(name) else said

    ports = {
        facet: tuple(
            with_(port, before=side(port.before), after=side(port.after)) for port in getattr(rule, facet)
        )
        for facet in ("inputs", "outputs")
    }
    return with_(rule, input=side(rule.input), output=side(rule.output), **ports)


def inline_pattern(plan: Plan, names: Names, chance: Random) -> Made:
    """The pattern that a let stands for, in place of its name."""
    found = [path for path in paths(plan, Pattern) if let_of(at(plan, path), plan) and "remove" not in path]
    if not found:
        return None
    path = chance.choice(found)
    new = put(plan, path, expanded(at(plan, path), plan))
    return new, changed(plan, new, path)


def inline_let(plan: Plan, names: Names, chance: Random) -> Made:
    """A let of a pattern gone, and what it stands for in all its places."""
    lets = [(i, let) for i, let in enumerate(plan.lets) if isinstance(let, PatternLet)]
    if not lets:
        return None
    i, let = chance.choice(lets)
    new = plan
    for path in paths(plan, Pattern):
        if let_of(at(plan, path), plan) == let:
            new = put(new, path, _without_let(at(plan, path), let))
    return drop(new, ("lets", i)), line(let)


def _without_let(pattern: Pattern, let: PatternLet) -> Pattern:
    base = let.pattern
    return Pattern(
        base.segments + pattern.segments[1:],
        pattern.class_name or base.class_name,
        base.optional or pattern.optional,
    )


def _split(plan: Plan, path: Path, patterns: list[Pattern]) -> Made:
    return _replaced(plan, path, [with_(at(plan, path), pattern=pattern) for pattern in patterns])


def _replaced(plan: Plan, path: Path, rules: list[Rule]) -> Made:
    says = f"{line(at(plan, path))} => {'; '.join(map(line, rules))}"
    return insert(drop(plan, path), path, *rules), says
