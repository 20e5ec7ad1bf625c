"""A pattern that matches no module.

The modules that the line was written for would stay as they are, without notice. So every
pattern must match a module of the model, and so must every name in its braces. A pattern that
ends in `?` may match nothing; names in braces that only some models have go into a pattern of
their own, with `?`. If only the class differs, planc lists the classes that are there.

Wrong (planc check --model tiny-llama.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        model.layers.*.mlp.up_porj    colwise
        model.layers.*.mlp.gate_proj  colwise
        model.layers.*.mlp.down_proj  rowwise
    }

Right (planc check --model tiny-llama.graph.json.gz --tp 2):

    mesh tp
    tensor tp {
        model.layers.*.mlp.up_proj     colwise
        model.layers.*.mlp.gate_proj   colwise
        model.layers.*.mlp.down_proj   rowwise
        model.layers.*.mlp.extra_proj? colwise
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.binding import Binding, BoundModule, entry_patterns
from planc.bind.module_groups import display_name
from planc.bind.partial_match import (
    MatchedModules,
    filter_by_class,
    match_segments,
    segments_from_root,
    single_choice_patterns,
)
from planc.bind.pattern_fix import pattern_fix
from planc.bind.pattern_source import PatternSource, find_pattern_source, pattern_path
from planc.closest import closest_match, join_names
from planc.ir.diagnostic import Diagnostic, Edit, Fix, diagnostic
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.ir.resolved import Located, Settings
from planc.ir.source import Span


class UnmatchedPattern(Record):
    """A pattern, or one name of its braces, that matches nothing."""

    pattern: Pattern
    block: int
    entry: int
    diagnostic: Diagnostic


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    misses = unmatched_patterns(binding)
    if not is_other_model(binding, misses):
        for miss in misses:
            yield miss.diagnostic


def unmatched_patterns(binding: Binding) -> list[UnmatchedPattern]:
    """The patterns that match nothing; those that fail at one place of the plan once."""
    found: dict[object, UnmatchedPattern] = {}
    for b, block in enumerate(binding.resolved.blocks):
        for e, entry in enumerate(block.entries):
            for p, pattern in enumerate(entry_patterns(entry.value)):
                if pattern.optional:
                    continue
                if (b, e, p) not in binding.matched_patterns:
                    miss = _explain_unmatched(binding, entry, p, pattern)
                    found.setdefault(miss.label, UnmatchedPattern(pattern, b, e, miss))
                else:
                    for miss in _unmatched_choices(binding, entry, p, pattern):
                        found.setdefault(miss.label, UnmatchedPattern(pattern, b, e, miss))
    return list(found.values())


def is_other_model(binding: Binding, unmatched: list[UnmatchedPattern] | None = None) -> bool:
    """Whether the plan is written for another model: hardly a pattern matches, for more
    than one reason, and few have a name nearby."""
    unmatched = unmatched_patterns(binding) if unmatched is None else unmatched
    model = binding.resolved.model
    if len(unmatched) < 3 or (model is not None and model.value == binding.graph.model):
        return False
    every = [
        (b, e, p)
        for b, block in enumerate(binding.resolved.blocks)
        for e, entry in enumerate(block.entries)
        for p, pattern in enumerate(entry_patterns(entry.value))
        if not pattern.optional and not pattern.is_root
    ]
    matched = sum(tag in binding.matched_patterns for tag in every)
    mendable = sum(miss.diagnostic.fix is not None for miss in unmatched)
    return matched * 4 <= len(every) - matched and mendable * 2 < len(unmatched)


def _explain_unmatched(binding: Binding, entry: Located, number: int, pattern: Pattern) -> Diagnostic:
    """Where a pattern stops."""
    segments, here = segments_from_root(pattern, binding.root)
    for i, segment in enumerate(segments):
        following = match_segments((segment,), here)
        if not following:
            source = find_pattern_source(binding.resolved, entry, number, i)
            return _segment_unmatched(source, pattern, i, here)
        here = following
    return _class_differs(entry, number, pattern, here)


def _segment_unmatched(
    source: PatternSource, pattern: Pattern, number: int, here: MatchedModules
) -> Diagnostic:
    parent = next(iter(here.values())) or "the model"
    name = "".join(map(str, source.segment))
    children = {own: None for bound in here for own in bound.children}
    label = source.label(f"{parent} has no '{name}'" if children else f"nothing is below {parent}")
    notes = [f"there: {_abbreviate(children)}"] if children else []
    if source.let_name is not None:
        notes.append(f"used by: every pattern that starts with '{source.let_name}'")
    fix = pattern_fix(source, pattern, number, here)
    if fix is None:
        notes.append("help: end the pattern with '?' if some models have no such module")
    meant = pattern if source.let_name is None else source.pattern
    module = next(iter(here.values()))
    return diagnostic("F601", label, f"no module is {meant}", *notes, fix=fix, module=module)


def _abbreviate(names: dict[str, None]) -> str:
    """Some names, numbers as a range."""
    numbers = sorted(int(n) for n in names if n.isdigit())
    if len(numbers) > 2:
        return f"{numbers[0]}..{numbers[-1]}"
    return join_names(names)


def _class_differs(entry: Located, number: int, pattern: Pattern, here: MatchedModules) -> Diagnostic:
    classes = {bound.module.class_name: name for bound, name in here.items()}
    label = pattern_path(entry, number).label(f"the modules there are of class {join_names(classes)}")
    meant = closest_match(str(pattern.class_name), classes) or (
        next(iter(classes)) if len(classes) == 1 else None
    )
    at = label.source.text.rfind(f":{pattern.class_name}", label.span.start, label.span.end) + 1
    fix = None
    if meant is not None and at:
        span = Span(at, at + len(str(pattern.class_name)))
        fix = Fix(f"did you mean '{meant}'?", (Edit(span, meant),))
    module = next(iter(here.values()))
    return diagnostic(
        "F601", label, f"no module is {pattern}", f"at: {display_name(module)}", fix=fix, module=module
    )


def _unmatched_choices(
    binding: Binding, entry: Located, number: int, pattern: Pattern
) -> Iterator[Diagnostic]:
    """Names in the braces of a pattern that match nothing, though others do."""
    root: dict[BoundModule, str] = {binding.root: ""}
    for i, item, alone in single_choice_patterns(pattern):
        if not filter_by_class(match_segments(alone.segments, root), pattern.class_name):
            here, fix = match_segments(alone.segments[:i], root), None
            module = next(iter(here.values()), "")
            if match_segments((alone.segments[i],), here):
                label = pattern_path(entry, number).label(f"'{item}' leads to no such module")
            else:
                source = find_pattern_source(binding.resolved, entry, number, i)
                label = source.label(
                    f"{module or 'the model'} has no '{''.join(map(str, alone.segments[i]))}'"
                )
                fix = pattern_fix(source, alone, i, here, item)
            notes = () if fix else (f"help: leave out '{item}', or give it a pattern that ends in '?'",)
            yield diagnostic("F601", label, f"no module is {alone}", *notes, fix=fix, module=module)
