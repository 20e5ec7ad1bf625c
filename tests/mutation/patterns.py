"""Changes of patterns: those of rules, units, regions and lets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from planc.ir.blocks import Rule
from planc.ir.pattern import Choice, Pattern, Range, Segment
from planc.ir.plan import Plan
from tests.mutation.describe import describe_change
from tests.mutation.module_names import ModuleNames, leading_let
from tests.mutation.record_edits import find_paths, get_at, replace_at, replace_fields
from tests.mutation.records import MutationResult

RULE_PATTERN_SHARE = 0.75
"""How often a pattern of a rule is changed, and not one of a unit, a region or a let."""

SegmentEdit = Callable[[Segment, list[str], ModuleNames, str], list[Segment]]
"""What may stand in the place of one name of a pattern: from what stands there, the names that it stands for
in the model, and one whole name up to there."""


def narrow_pattern(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """Fewer modules: `*` to one name or all but one, a choice minus a name."""
    return _change_segment(plan, names, rng, _narrower)


def widen_pattern(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """More modules: a name to a choice or `*`, a choice plus a name, `*` to `**`."""
    return _change_segment(plan, names, rng, _wider)


def rename_segment(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A name of a pattern to that of a module beside it."""
    return _change_segment(plan, names, rng, _sibling)


def enumerate_star(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """`*` to the names that it stands for."""
    return _change_segment(plan, names, rng, _enumerated)


def to_parent(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A pattern to the modules around those that it names."""

    def around(old: Pattern) -> Pattern | None:
        shorter = old.segments[:-1]
        return replace_fields(old, segments=shorter, class_name=None) if shorter else None

    return _change_one_pattern(plan, rng, around)


def to_child(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A pattern to what lies in the modules that it names."""

    def inside(old: Pattern) -> Pattern | None:
        found = list(dict.fromkeys(own for name in names.matches(old, plan) for own in names.children(name)))
        if not found:
            return None
        return replace_fields(old, segments=(*old.segments, (rng.choice([*found, "*"]),)), class_name=None)

    return _change_one_pattern(plan, rng, inside)


def restrict_class(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """Only modules of a class that some of them may be of."""
    every = list(dict.fromkeys(module.class_name for module in names.modules.values()))

    def of_common_class(old: Pattern) -> Pattern | None:
        own = [names.modules[name].class_name for name in names.matches(old, plan)]
        kind = rng.choice([*own, rng.choice(every)])
        return replace_fields(old, class_name=kind) if kind.isidentifier() else None

    return _change_one_pattern(plan, rng, of_common_class, lets=False)


def name_common_class(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """The class that all of its modules are of, behind a pattern."""

    def with_common_class(old: Pattern) -> Pattern | None:
        kinds = {names.modules[name].class_name for name in names.matches(old, plan)}
        if len(kinds) != 1 or old.class_name is not None or not (kind := kinds.pop()).isidentifier():
            return None
        return replace_fields(old, class_name=kind)

    return _change_one_pattern(plan, rng, with_common_class, lets=False)


def make_optional(plan: Plan, names: ModuleNames, rng: Random) -> MutationResult:
    """A pattern that may match nothing."""
    return _change_one_pattern(plan, rng, lambda old: replace_fields(old, optional=True))


def _change_one_pattern(
    plan: Plan, rng: Random, change: Callable[[Pattern], Pattern | None], *, lets: bool = True
) -> MutationResult:
    """One pattern changed, of those that can be; most often one of a rule."""
    every = [
        path for path in find_paths(plan, Pattern) if "remove" not in path and (lets or path[0] != "lets")
    ]
    rules = [path for path in every if isinstance(get_at(plan, path[:-1]), Rule)]
    others = [path for path in every if path not in rules]
    rng.shuffle(rules)
    rng.shuffle(others)
    for path in (*rules, *others) if rng.random() < RULE_PATTERN_SHARE else (*others, *rules):
        old: Pattern = get_at(plan, path)
        pattern = None if old.is_root else change(old)
        if pattern is not None and pattern != old and not _is_keyword(pattern):
            new = replace_at(plan, path, pattern)
            return new, describe_change(plan, new, path)
    return None


def _is_keyword(pattern: Pattern) -> bool:
    """Whether a bare word at the start would be read as something else."""
    return pattern.segments[0] in {(word,) for word in ("loss", "override", "remove", "root")}


def _change_segment(plan: Plan, names: ModuleNames, rng: Random, edit: SegmentEdit) -> MutationResult:
    """One name of a pattern changed."""

    def edited(old: Pattern) -> Pattern | None:
        found = list(_segment_edits(old, plan, names, rng, edit))
        return rng.choice(found) if found else None

    return _change_one_pattern(plan, rng, edited)


def _segment_edits(
    old: Pattern, plan: Plan, names: ModuleNames, rng: Random, edit: SegmentEdit
) -> Iterator[Pattern]:
    matched = names.matches(old, plan)
    for i in range(1 if leading_let(old, plan) else 0, len(old.segments)):
        if ("**",) in old.segments[i:]:
            continue  # which name it stands for cannot be counted from the end
        behind = len(old.segments) - 1 - i
        heads = [name.rsplit(".", behind)[0] for name in matched]
        here = list(dict.fromkeys(head.rpartition(".")[2] for head in heads))
        one = rng.choice(heads) if heads else ""
        for new in edit(old.segments[i], here, names, one):
            yield replace_fields(old, segments=(*old.segments[:i], new, *old.segments[i + 1 :]))


def _narrower(segment: Segment, here: list[str], names: ModuleNames, one: str) -> list[Segment]:
    own = one.rpartition(".")[2]
    choice = segment[0]
    found: list[Segment] = []
    if own and any(piece == "*" for piece in segment):
        found += [(Choice((own,)),)]
        if len(here) > 1:
            found += [(Choice((own,), negated=True),), *_ranges(here)]
    for i, piece in enumerate(segment):
        if isinstance(piece, Choice) and not piece.negated and len(piece.items) > 1:
            found += [
                (*segment[:i], Choice(_without(piece, j)), *segment[i + 1 :]) for j in range(len(piece.items))
            ]
    if isinstance(choice, Choice) and choice.negated and own:
        found.append((Choice((*choice.items, own), negated=True),))
    return found


def _ranges(here: list[str]) -> list[Segment]:
    """The first half of some numbers."""
    numbers = [int(name) for name in here if name.isdigit()]
    return [(Choice((Range(0, max(numbers) // 2),)),)] if len(numbers) > 2 else []


def _without(choice: Choice, number: int) -> tuple[str | Range, ...]:
    return (*choice.items[:number], *choice.items[number + 1 :])


def _wider(segment: Segment, here: list[str], names: ModuleNames, one: str) -> list[Segment]:
    if segment == ("*",):
        return [("**",)]
    if any(isinstance(piece, Choice) and piece.negated for piece in segment):
        return [("*",)]
    found: list[Segment] = [("*",)]
    outside = [name for name in (names.siblings(one) if one else ()) if name not in here]
    if len(segment) == 1 and isinstance(segment[0], Choice):
        found += [(Choice((*segment[0].items, name)),) for name in outside]
    elif len(segment) == 1 and isinstance(segment[0], str):
        found += [(Choice((segment[0], name)),) for name in outside]
    elif here:
        found += [(Choice((*here, name)),) for name in outside]
    return found


def _sibling(segment: Segment, here: list[str], names: ModuleNames, one: str) -> list[Segment]:
    if len(segment) != 1 or segment == ("*",) or not one:
        return []
    outside = [name for name in names.siblings(one) if name not in here]
    piece = segment[0]
    if isinstance(piece, Choice):
        items = [(*_without(piece, i), name) for i in range(len(piece.items)) for name in outside]
        return [(Choice(new, piece.negated),) for new in items]
    return [(name,) for name in outside]


def _enumerated(segment: Segment, here: list[str], names: ModuleNames, one: str) -> list[Segment]:
    if "*" not in segment or not here:
        return []
    return [(Choice(tuple(here)),)]
