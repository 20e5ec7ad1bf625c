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
    """A pattern, or one name in its braces, that matches no module."""

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
    """The patterns that match no module; one for each place of the plan, since patterns may share a let."""
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
    """Whether the plan is for another model: hardly any pattern matches, for more than one reason, and few
    of them resemble a module's name."""
    unmatched = unmatched_patterns(binding) if unmatched is None else unmatched
    model = binding.resolved.model
    if len(unmatched) < 3 or (model is not None and model.value == binding.graph.model):
        return False
    required = [
        (b, e, p)
        for b, block in enumerate(binding.resolved.blocks)
        for e, entry in enumerate(block.entries)
        for p, pattern in enumerate(entry_patterns(entry.value))
        if not pattern.optional and not pattern.is_root
    ]
    matched = sum(tag in binding.matched_patterns for tag in required)
    fixable = sum(miss.diagnostic.fix is not None for miss in unmatched)
    return matched * 4 <= len(required) - matched and fixable * 2 < len(unmatched)


def _explain_unmatched(binding: Binding, entry: Located, number: int, pattern: Pattern) -> Diagnostic:
    """Names the first segment of a pattern that matches nothing, or the class."""
    segments, modules = segments_from_root(pattern, binding.root)
    for i, segment in enumerate(segments):
        matched = match_segments((segment,), modules)
        if not matched:
            source = find_pattern_source(binding.resolved, entry, number, i)
            return _segment_unmatched(source, pattern, i, modules)
        modules = matched
    return _class_differs(entry, number, pattern, modules)


def _segment_unmatched(
    source: PatternSource, pattern: Pattern, number: int, modules: MatchedModules
) -> Diagnostic:
    parent = next(iter(modules.values())) or "the model"
    name = "".join(map(str, source.segment))
    children = {child: None for bound in modules for child in bound.children}
    label = source.label(f"{parent} has no '{name}'" if children else f"{parent} has no modules inside")
    notes = [f"available: {_abbreviate(children)}"] if children else []
    if source.let_name is not None:
        notes.append(f"used by: every pattern that starts with '{source.let_name}'")
    fix = pattern_fix(source, pattern, number, modules)
    if fix is None:
        notes.append("help: end the pattern with '?' if some models have no such module")
    shown = pattern if source.let_name is None else source.pattern
    module = next(iter(modules.values()))
    return diagnostic("F601", label, f"no module matches {shown}", *notes, fix=fix, module=module)


def _abbreviate(names: dict[str, None]) -> str:
    """A phrase for some names; numbers become a range."""
    numbers = sorted(int(n) for n in names if n.isdigit())
    if len(numbers) > 2:
        return f"{numbers[0]}..{numbers[-1]}"
    return join_names(names)


def _class_differs(entry: Located, number: int, pattern: Pattern, modules: MatchedModules) -> Diagnostic:
    classes = {bound.module.class_name: name for bound, name in modules.items()}
    label = pattern_path(entry, number).label(
        f"the modules with this name are of class {join_names(classes)}"
    )
    closest = closest_match(str(pattern.class_name), classes) or (
        next(iter(classes)) if len(classes) == 1 else None
    )
    at = label.source.text.rfind(f":{pattern.class_name}", label.span.start, label.span.end) + 1
    fix = None
    if closest is not None and at:
        span = Span(at, at + len(str(pattern.class_name)))
        fix = Fix(f"did you mean '{closest}'?", (Edit(span, closest),))
    module = next(iter(modules.values()))
    return diagnostic(
        "F601", label, f"no module matches {pattern}", f"at: {display_name(module)}", fix=fix, module=module
    )


def _unmatched_choices(
    binding: Binding, entry: Located, number: int, pattern: Pattern
) -> Iterator[Diagnostic]:
    """The names in the braces of a pattern that match nothing, although others do."""
    root: dict[BoundModule, str] = {binding.root: ""}
    for i, item, single in single_choice_patterns(pattern):
        if not filter_by_class(match_segments(single.segments, root), pattern.class_name):
            modules, fix = match_segments(single.segments[:i], root), None
            module = next(iter(modules.values()), "")
            if match_segments((single.segments[i],), modules):
                label = pattern_path(entry, number).label(f"'{item}' leads to no such module")
            else:
                source = find_pattern_source(binding.resolved, entry, number, i)
                label = source.label(
                    f"{module or 'the model'} has no '{''.join(map(str, single.segments[i]))}'"
                )
                fix = pattern_fix(source, single, i, modules, item)
            notes = () if fix else (f"help: remove '{item}', or give it a pattern that ends in '?'",)
            yield diagnostic("F601", label, f"no module matches {single}", *notes, fix=fix, module=module)
