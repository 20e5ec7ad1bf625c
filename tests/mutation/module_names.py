"""The modules of a model, for drawing names and for what patterns stand for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random

from planc.bind.pattern_matcher import PatternMatcher
from planc.ir.graph import ModelGraph, ModuleDef
from planc.ir.pattern import Choice, Pattern, Segment
from planc.ir.plan import PatternLet, Plan

_WRITABLE = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
_RESERVED = ("loss", "override", "remove", "root", "replicate", "partial")
ROOT = Pattern((("root",),))


class ModuleNames:
    """The names of a model, looked up by the changes of one plan."""

    def __init__(self, graph: ModelGraph) -> None:
        self.facts = dict(graph.facts)
        self.modules: dict[str, ModuleDef] = {
            name: module for name, module in graph.modules_by_name.items() if _WRITABLE.fullmatch(name)
        }
        self.all_names = list(self.modules)
        self._matched: dict[Pattern, tuple[str, ...]] = {}

    def sample(self, rng: Random, candidates: Sequence[str] | None = None) -> str | None:
        """One name; equal layers do not crowd out the rest."""
        known = self.all_names if candidates is None else candidates
        groups: dict[str, list[str]] = {}
        for name in known:
            groups.setdefault(_generalize(name), []).append(name)
        return rng.choice(groups[rng.choice(list(groups))]) if groups else None

    def children(self, name: str) -> list[str]:
        """The last names of what lies directly in a module."""
        module = self.modules.get(name)
        return [own for own in module.children if _WRITABLE.fullmatch(own)] if module else []

    def siblings(self, name: str) -> list[str]:
        """The last names of what lies beside a module."""
        above, _, own = name.rpartition(".")
        siblings_and_self = self.children(above) if above else [n for n in self.all_names if "." not in n]
        return [other for other in siblings_and_self if other != own]

    def attributes(self, name: str) -> list[str]:
        """The numbers that the code of a module reads off it, those that a plan can name."""
        return [own for own in self.modules[name].attributes if all(map(str.isidentifier, own.split(".")))]

    def matches(self, pattern: Pattern, plan: Plan) -> tuple[str, ...]:
        """The modules that a pattern of a plan stands for, in the order of the model."""
        whole = expand_let(pattern, plan)
        if whole not in self._matched:
            self._matched[whole] = tuple(self._match(whole))
        return self._matched[whole]

    def _match(self, pattern: Pattern) -> list[str]:
        matcher = PatternMatcher()
        for names in pattern.alternatives():
            matcher.add(names, True)
        kept = pattern.class_name
        return [
            name
            for name, module in self.modules.items()
            if (kept is None or kept == module.class_name or kept in module.bases)
            and any(matcher.match(tuple(name.split("."))))
        ]


def _generalize(name: str) -> str:
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", name)


def generalize(name: str) -> str:
    """A name with `*` for each number: all layers for one."""
    return _generalize(name)


def pattern_of(name: str, plan: Plan) -> Pattern:
    """The pattern of a name, or of one with `*` in it; a first name that the language or a let would take
    stands in braces."""
    first, *rest = name.split(".")
    taken = first in {let.name for let in plan.lets} or first in _RESERVED
    head: Segment = (Choice((first,)),) if taken else (first,)
    return Pattern((head, *((own,) for own in rest)))


def leading_let(pattern: Pattern, plan: Plan) -> PatternLet | None:
    """The let that a pattern begins with."""
    head = pattern.segments[0]
    named = (let for let in plan.lets if isinstance(let, PatternLet) and head == (let.name,))
    return next(named, None)


def expand_let(pattern: Pattern, plan: Plan) -> Pattern:
    """A pattern with the let at its start worked in."""
    for _ in plan.lets:  # a let that stands for itself ends, too
        let = leading_let(pattern, plan)
        if let is None:
            break
        base = let.pattern
        pattern = Pattern(
            base.segments + pattern.segments[1:],
            pattern.class_name or base.class_name,
            base.optional or pattern.optional,
        )
    return pattern
