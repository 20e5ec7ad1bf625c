"""A pattern that matches no module.

What it was to split, shard or recompute would stay as it is, without a word. So every
pattern matches a module of the model, and so does every name that its braces spell
out. A pattern that ends in `?` may match nothing; names in braces that only some
models have go into a pattern of their own, with `?`. Where only classes differ, the
classes that are there are named.

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

from planc.checks import law
from planc.ir.diagnostic import Diagnostic, Edit, Fix
from planc.ir.pattern import Pattern
from planc.ir.record import Record
from planc.ir.settled import Placed, Settings
from planc.ir.source import Span
from planc.near import listed, nearest
from planc.resolve.bind import Binding, Bound, patterns
from planc.resolve.follow import Reached, follow, of_class, single_items, start
from planc.resolve.repair import repaired
from planc.resolve.sites import shown
from planc.resolve.written import Written, pattern_place, written


class Miss(Record):
    """A pattern, or one name of its braces, that matches nothing."""

    pattern: Pattern
    block: int
    entry: int
    found: Diagnostic


def check(binding: Binding, settings: Settings) -> Iterator[Diagnostic]:
    misses = unmatched(binding)
    if not is_other(binding, misses):
        for miss in misses:
            yield miss.found


def unmatched(binding: Binding) -> list[Miss]:
    """The patterns that match nothing; those that fail at one place of the plan once."""
    found: dict[object, Miss] = {}
    for b, block in enumerate(binding.settled.blocks):
        for e, entry in enumerate(block.entries):
            for p, pattern in enumerate(patterns(entry.value)):
                if pattern.optional:
                    continue
                if (b, e, p) not in binding.matched:
                    miss = _miss(binding, entry, p, pattern)
                    found.setdefault(miss.label, Miss(pattern, b, e, miss))
                else:
                    for miss in _dead_items(binding, entry, p, pattern):
                        found.setdefault(miss.label, Miss(pattern, b, e, miss))
    return list(found.values())


def is_other(binding: Binding, misses: list[Miss] | None = None) -> bool:
    """Whether the plan is written for another model: hardly a pattern matches, for more
    than one reason, and few have a name nearby."""
    misses = unmatched(binding) if misses is None else misses
    model = binding.settled.model
    if len(misses) < 3 or (model is not None and model.value == binding.graph.model):
        return False
    every = [
        (b, e, p)
        for b, block in enumerate(binding.settled.blocks)
        for e, entry in enumerate(block.entries)
        for p, pattern in enumerate(patterns(entry.value))
        if not pattern.optional and not pattern.is_root
    ]
    matched = sum(tag in binding.matched for tag in every)
    mendable = sum(miss.found.fix is not None for miss in misses)
    return matched * 4 <= len(every) - matched and mendable * 2 < len(misses)


def _miss(binding: Binding, entry: Placed, number: int, pattern: Pattern) -> Diagnostic:
    """Where a pattern stops."""
    segments, here = start(pattern, binding.root)
    for i, segment in enumerate(segments):
        following = follow((segment,), here)
        if not following:
            source = written(binding.settled, entry, number, i)
            return _stops(source, pattern, i, here)
        here = following
    return _class_differs(entry, number, pattern, here)


def _stops(source: Written, pattern: Pattern, number: int, here: Reached) -> Diagnostic:
    parent = next(iter(here.values())) or "the model"
    name = "".join(map(str, source.segment))
    children = {own: None for bound in here for own in bound.children}
    label = source.label(f"{parent} has no '{name}'" if children else f"nothing is below {parent}")
    notes = [f"there: {_few(children)}"] if children else []
    if source.let is not None:
        notes.append(f"used by: every pattern that starts with '{source.let}'")
    fix = repaired(source, pattern, number, here)
    if fix is None:
        notes.append("help: end the pattern with '?' if some models have no such module")
    meant = pattern if source.let is None else source.pattern
    module = next(iter(here.values()))
    return Diagnostic(law("F601"), f"no module is {meant}", label, (), tuple(notes), fix, module)


def _few(names: dict[str, None]) -> str:
    """Some names, numbers as a range."""
    numbers = sorted(int(n) for n in names if n.isdigit())
    if len(numbers) > 2:
        return f"{numbers[0]}..{numbers[-1]}"
    return listed(names)


def _class_differs(entry: Placed, number: int, pattern: Pattern, here: Reached) -> Diagnostic:
    classes = {bound.module.class_name: name for bound, name in here.items()}
    label = pattern_place(entry, number).label(f"the modules there are of class {listed(classes)}")
    meant = nearest(str(pattern.class_name), classes) or (next(iter(classes)) if len(classes) == 1 else None)
    at = label.source.text.rfind(f":{pattern.class_name}", label.span.start, label.span.end) + 1
    fix = None
    if meant is not None and at:
        span = Span(at, at + len(str(pattern.class_name)))
        fix = Fix(f"did you mean '{meant}'?", (Edit(span, meant),))
    module = next(iter(here.values()))
    return Diagnostic(law("F601"), f"no module is {pattern}", label, (),
                      (f"at: {shown(module)}",), fix, module)  # fmt: skip


def _dead_items(binding: Binding, entry: Placed, number: int, pattern: Pattern) -> Iterator[Diagnostic]:
    """Names in the braces of a pattern that match nothing, though others do."""
    root: dict[Bound, str] = {binding.root: ""}
    for i, item, alone in single_items(pattern):
        if not of_class(follow(alone.segments, root), pattern.class_name):
            here, fix = follow(alone.segments[:i], root), None
            module = next(iter(here.values()), "")
            if follow((alone.segments[i],), here):
                label = pattern_place(entry, number).label(f"'{item}' leads to no such module")
            else:
                source = written(binding.settled, entry, number, i)
                label = source.label(
                    f"{module or 'the model'} has no '{''.join(map(str, alone.segments[i]))}'"
                )
                fix = repaired(source, alone, i, here, item)
            notes = () if fix else (f"help: leave out '{item}', or give it a pattern that ends in '?'",)
            yield Diagnostic(law("F601"), f"no module is {alone}", label, (), notes, fix, module)
