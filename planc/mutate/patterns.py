"""Changes of patterns: those of rules, units, regions and lets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from planc.blocks.tensor import Rule
from planc.ir.pattern import Choice, Pattern, Range, Segment
from planc.ir.plan import Plan
from planc.mutate.edit import at, paths, put, with_
from planc.mutate.names import Names, let_of
from planc.mutate.records import Made
from planc.mutate.saying import changed

RULES = 0.75
"""How often a pattern of a rule is changed, and not one of a unit, a region or a let."""

Edit = Callable[[Segment, list[str], Names, str], list[Segment]]
"""What may stand in the place of one name of a pattern: from what stands there, the names that it stands for
in the model, and one whole name up to there."""


def narrow(plan: Plan, names: Names, chance: Random) -> Made:
    """Fewer modules: `*` to one name or all but one, a choice minus a name."""
    return _segment(plan, names, chance, _narrower)


def widen(plan: Plan, names: Names, chance: Random) -> Made:
    """More modules: a name to a choice or `*`, a choice plus a name, `*` to `**`."""
    return _segment(plan, names, chance, _wider)


def rename(plan: Plan, names: Names, chance: Random) -> Made:
    """A name of a pattern to that of a module beside it."""
    return _segment(plan, names, chance, _beside)


def spell(plan: Plan, names: Names, chance: Random) -> Made:
    """`*` to the names that it stands for."""
    return _segment(plan, names, chance, _spelled)


def parent(plan: Plan, names: Names, chance: Random) -> Made:
    """A pattern to the modules around those that it names."""

    def around(old: Pattern) -> Pattern | None:
        shorter = old.segments[:-1]
        return with_(old, segments=shorter, class_name=None) if shorter else None

    return _first(plan, chance, around)


def child(plan: Plan, names: Names, chance: Random) -> Made:
    """A pattern to what lies in the modules that it names."""

    def inside(old: Pattern) -> Pattern | None:
        found = list(dict.fromkeys(own for name in names.matched(old, plan) for own in names.children(name)))
        if not found:
            return None
        return with_(old, segments=(*old.segments, (chance.choice([*found, "*"]),)), class_name=None)

    return _first(plan, chance, inside)


def of_class(plan: Plan, names: Names, chance: Random) -> Made:
    """Only modules of a class that some of them may be of."""
    every = list(dict.fromkeys(module.class_name for module in names.modules.values()))

    def kept(old: Pattern) -> Pattern | None:
        own = [names.modules[name].class_name for name in names.matched(old, plan)]
        kind = chance.choice([*own, chance.choice(every)])
        return with_(old, class_name=kind) if kind.isidentifier() else None

    return _first(plan, chance, kept, lets=False)


def own_class(plan: Plan, names: Names, chance: Random) -> Made:
    """The class that all of its modules are of, behind a pattern."""

    def said(old: Pattern) -> Pattern | None:
        kinds = {names.modules[name].class_name for name in names.matched(old, plan)}
        if len(kinds) != 1 or old.class_name is not None or not (kind := kinds.pop()).isidentifier():
            return None
        return with_(old, class_name=kind)

    return _first(plan, chance, said, lets=False)


def optional(plan: Plan, names: Names, chance: Random) -> Made:
    """A pattern that may match nothing."""
    return _first(plan, chance, lambda old: with_(old, optional=True))


def _first(
    plan: Plan, chance: Random, change: Callable[[Pattern], Pattern | None], *, lets: bool = True
) -> Made:
    """One pattern changed, of those that can be; most often one of a rule."""
    every = [path for path in paths(plan, Pattern) if "remove" not in path and (lets or path[0] != "lets")]
    rules = [path for path in every if isinstance(at(plan, path[:-1]), Rule)]
    others = [path for path in every if path not in rules]
    chance.shuffle(rules)
    chance.shuffle(others)
    for path in (*rules, *others) if chance.random() < RULES else (*others, *rules):
        old: Pattern = at(plan, path)
        pattern = None if old.is_root else change(old)
        if pattern is not None and pattern != old and not _is_word(pattern):
            new = put(plan, path, pattern)
            return new, changed(plan, new, path)
    return None


def _is_word(pattern: Pattern) -> bool:
    """Whether a bare word at the start would be read as something else."""
    return pattern.segments[0] in {(word,) for word in ("loss", "override", "remove", "root")}


def _segment(plan: Plan, names: Names, chance: Random, edit: Edit) -> Made:
    """One name of a pattern changed."""

    def edited(old: Pattern) -> Pattern | None:
        found = list(_edits(old, plan, names, chance, edit))
        return chance.choice(found) if found else None

    return _first(plan, chance, edited)


def _edits(old: Pattern, plan: Plan, names: Names, chance: Random, edit: Edit) -> Iterator[Pattern]:
    matched = names.matched(old, plan)
    for i in range(1 if let_of(old, plan) else 0, len(old.segments)):
        if ("**",) in old.segments[i:]:
            continue  # which name it stands for cannot be counted from the end
        behind = len(old.segments) - 1 - i
        heads = [name.rsplit(".", behind)[0] for name in matched]
        here = list(dict.fromkeys(head.rpartition(".")[2] for head in heads))
        one = chance.choice(heads) if heads else ""
        for new in edit(old.segments[i], here, names, one):
            yield with_(old, segments=(*old.segments[:i], new, *old.segments[i + 1 :]))


def _narrower(segment: Segment, here: list[str], names: Names, one: str) -> list[Segment]:
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


def _wider(segment: Segment, here: list[str], names: Names, one: str) -> list[Segment]:
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


def _beside(segment: Segment, here: list[str], names: Names, one: str) -> list[Segment]:
    if len(segment) != 1 or segment == ("*",) or not one:
        return []
    outside = [name for name in names.siblings(one) if name not in here]
    piece = segment[0]
    if isinstance(piece, Choice):
        items = [(*_without(piece, i), name) for i in range(len(piece.items)) for name in outside]
        return [(Choice(new, piece.negated),) for new in items]
    return [(name,) for name in outside]


def _spelled(segment: Segment, here: list[str], names: Names, one: str) -> list[Segment]:
    if "*" not in segment or not here:
        return []
    return [(Choice(tuple(here)),)]
