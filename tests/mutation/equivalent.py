"""Neighbours that say the same in other words. Whoever judges one otherwise is wrong."""

from __future__ import annotations

from random import Random

from planc import Expr
from planc.ir.blocks import Rule
from planc.ir.diagnostic import FieldPath
from planc.ir.expr import Binary
from planc.ir.layout import Layout, LayoutRef
from planc.ir.pattern import Choice, Pattern
from planc.ir.plan import LayoutLet, PatternLet, Plan
from tests.mutation.describe import describe_change, entry_text
from tests.mutation.module_names import ModuleNames, expand_let, leading_let, pattern_of
from tests.mutation.numbers import negate
from tests.mutation.record_edits import (
    find_paths,
    get_at,
    insert_at,
    remove_at,
    replace_at,
    replace_fields,
)
from tests.mutation.records import MutationResult


def split_choice(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A rule with a choice as one rule for each of its names."""
    found = [
        (path, i, j)
        for path in find_paths(plan, Rule)
        for i, segment in enumerate(get_at(plan, path).pattern.segments)
        for j, piece in enumerate(segment)
        if isinstance(piece, Choice) and not piece.negated and len(piece.items) > 1
    ]
    if not found:
        return None
    path, i, j = rng.choice(found)
    choice = get_at(plan, path).pattern.segments[i][j]
    split = [_with_piece(get_at(plan, path).pattern, i, j, Choice((name,))) for name in choice.items]
    return _split_rule(plan, path, split) if all(_all_match(one, plan, names) for one in split) else None


def _all_match(pattern: Pattern, plan: Plan, names: ModuleNames) -> bool:
    """Whether each name that the braces of a pattern spell out is there: what matched somewhere beside
    another name need not do so alone."""
    every = expand_let(pattern, plan).alternatives()
    return all(names.matches(Pattern.parse(".".join(one)), plan) for one in every)


def _with_piece(pattern: Pattern, i: int, j: int, piece: Choice) -> Pattern:
    segment = (*pattern.segments[i][:j], piece, *pattern.segments[i][j + 1 :])
    return replace_fields(pattern, segments=(*pattern.segments[:i], segment, *pattern.segments[i + 1 :]))


def split_star(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A rule for all layers as one for the first and one for the others. Braces must match in every layer
    that they are spelt out for, which they need not do as one pattern: only plain names stay."""
    found = []
    for path in find_paths(plan, Rule):
        whole = expand_let(get_at(plan, path).pattern, plan)
        plain = all(piece == "*" or isinstance(piece, str) for s in whole.segments for piece in s)
        stars = [i for i, segment in enumerate(whole.segments) if segment == ("*",)]
        if plain and stars and ("**",) not in whole.segments and not get_at(plan, path).attributes:
            found.append((path, whole, rng.choice(stars)))
    if not found:
        return None
    path, whole, i = rng.choice(found)
    here = {name.split(".")[i] for name in names.matches(whole, plan)}
    if len(here) < 2:
        return None
    one = min(here)
    sides = [Choice((one,)), Choice((one,), negated=True)]
    return _split_rule(plan, path, [_with_piece(whole, i, 0, side) for side in sides])


def spell_modules(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A rule as one for each module that its pattern names."""
    found = [
        path
        for path in find_paths(plan, Rule)
        if 1 < len(names.matches(get_at(plan, path).pattern, plan)) <= 12
        and not get_at(plan, path).attributes
    ]
    if not found:
        return None
    path = rng.choice(found)
    modules = names.matches(get_at(plan, path).pattern, plan)
    return _split_rule(plan, path, [pattern_of(name, plan) for name in modules])


def split_conditions(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A rule under a condition, and the same one under its contrary."""
    options = [option.name for option in plan.options if isinstance(option.value, bool)]
    if not options:
        return None
    switch = Expr.parse(rng.choice(options))
    found = [path for path in find_paths(plan, Rule) if not get_at(plan, path).override]
    return _split_by_condition(plan, rng.choice(found), switch) if found else None


def _split_by_condition(plan: Plan, path: FieldPath, switch: Expr) -> MutationResult:
    old = get_at(plan, path)
    new = [replace_fields(old, when=_conjunction(old.when, side)) for side in (switch, negate(switch))]
    return _replace_rule(plan, path, new)


def _conjunction(when: Expr | None, more: Expr) -> Expr:
    return more if when is None else Binary("and", when, more)


def inline_layout(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A rule with the layouts of a let worked in: two rules where the let stands under a condition."""
    lets = {let.name: let for let in plan.lets if isinstance(let, LayoutLet)}
    found = [
        path
        for path in find_paths(plan, LayoutRef)
        if path[0] == "blocks" and get_at(plan, path).name in lets
    ]
    found = [path for path in found if not get_at(plan, path[:4]).override]
    if not found:
        return None
    path = rng.choice(found)
    let = lets[get_at(plan, path).name]
    rule, old = path[:4], get_at(plan, path[:4])
    if let.when is None or let.otherwise is None:
        return _replace_rule(plan, rule, [_substitute_layout(old, let.name, let.layout)])
    return _replace_rule(
        plan,
        rule,
        [
            replace_fields(
                _substitute_layout(old, let.name, let.layout), when=_conjunction(old.when, let.when)
            ),
            replace_fields(
                _substitute_layout(old, let.name, let.otherwise),
                when=_conjunction(old.when, negate(let.when)),
            ),
        ],
    )


def _substitute_layout(rule: Rule, name: str, layout: Layout) -> Rule:
    """A rule with a layout in the place of a name, wherever it says it."""

    def side(given: Layout | None) -> Layout | None:
        return layout if given == LayoutRef(name) else given

    ports = {
        facet: tuple(
            replace_fields(port, before=side(port.before), after=side(port.after))
            for port in getattr(rule, facet)
        )
        for facet in ("inputs", "outputs")
    }
    return replace_fields(rule, input=side(rule.input), output=side(rule.output), **ports)


def inline_pattern(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """The pattern that a let stands for, in place of its name."""
    found = [
        path
        for path in find_paths(plan, Pattern)
        if leading_let(get_at(plan, path), plan) and "remove" not in path
    ]
    if not found:
        return None
    path = rng.choice(found)
    new = replace_at(plan, path, expand_let(get_at(plan, path), plan))
    return new, describe_change(plan, new, path)


def inline_let(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A let of a pattern gone, and what it stands for in all its places."""
    lets = [(i, let) for i, let in enumerate(plan.lets) if isinstance(let, PatternLet)]
    if not lets:
        return None
    i, let = rng.choice(lets)
    new = plan
    for path in find_paths(plan, Pattern):
        if leading_let(get_at(plan, path), plan) == let:
            new = replace_at(new, path, _without_let(get_at(plan, path), let))
    return remove_at(new, ("lets", i)), entry_text(let)


def _without_let(pattern: Pattern, let: PatternLet) -> Pattern:
    base = let.pattern
    return Pattern(
        base.segments + pattern.segments[1:],
        pattern.class_name or base.class_name,
        base.optional or pattern.optional,
    )


def _split_rule(plan: Plan, path: FieldPath, patterns: list[Pattern]) -> MutationResult:
    return _replace_rule(
        plan, path, [replace_fields(get_at(plan, path), pattern=pattern) for pattern in patterns]
    )


def _replace_rule(plan: Plan, path: FieldPath, rules: list[Rule]) -> MutationResult:
    says = f"{entry_text(get_at(plan, path))} => {'; '.join(map(entry_text, rules))}"
    return insert_at(remove_at(plan, path), path, *rules), says
