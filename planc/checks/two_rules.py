"""Two lines of a block for the same module.

On each axis a module has one rule, it is in one unit, and it is recomputed or compiled in one
way. No line wins silently: write `override` before the later one, or remove one of them.
Without a model planc finds equal patterns, and names spelled out that another pattern matches;
with a model it finds all.

Wrong:

    mesh tp
    tensor tp {
        model.layers.*.mlp.{up,down}_proj  colwise
        model.layers.*.mlp.down_proj       rowwise
    }

Right:

    mesh tp
    tensor tp {
        model.layers.*.mlp.up_proj    colwise
        model.layers.*.mlp.down_proj  rowwise
    }
"""

from __future__ import annotations

from collections.abc import Iterator

from planc.bind.pattern_matcher import PatternMatcher, is_literal_path
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.pattern import Pattern
from planc.ir.resolved import Located, Resolved, ResolvedBlock, Settings

MAX_SPELLED_NAMES = 1_000_000
"""Names that the patterns of a block may spell out for this check."""


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    for block in resolved.blocks:
        yield from _conflicts_in_block(block)


def count_spelled_names(block: ResolvedBlock) -> int:
    """How many names the patterns of a block spell out."""
    return sum(len(p) for entry in block.entries for p in located_patterns(entry))


def located_patterns(entry: Located) -> tuple[Pattern, ...]:
    """The patterns of a rule, a unit or a region."""
    value = entry.value
    patterns: tuple[Pattern, ...] = value.named_patterns
    return patterns


def _conflicts_in_block(block: ResolvedBlock) -> Iterator[Diagnostic]:
    if count_spelled_names(block) > MAX_SPELLED_NAMES:
        return
    owner: dict[tuple[str, ...], dict[str | None, int]] = {}
    matcher = PatternMatcher()
    literals: list[tuple[tuple[str, ...], int, str | None]] = []
    for index, entry in enumerate(block.entries):
        met: dict[int, str] = {}
        for pattern in located_patterns(entry):
            for names in pattern.alternatives():
                classes = owner.setdefault(names, {})
                # Without a class a pattern takes in the modules of every class.
                own = pattern.class_name
                meets = classes if own is None else {c: i for c, i in classes.items() if c in (None, own)}
                earlier = [i for i in meets.values() if i != index]
                classes[own] = index
                if earlier:
                    met.setdefault(earlier[-1], ".".join(names))
                elif is_literal_path(names):
                    literals.append((names, index, pattern.class_name))
                else:
                    matcher.add(names, (index, pattern.class_name))
        for first, names_met in sorted(met.items()):
            yield from _conflict(block, first, index, names_met)
    if not matcher.is_empty:
        yield from _literal_in_pattern(block, literals, matcher)


def _literal_in_pattern(
    block: ResolvedBlock, literals: list[tuple[tuple[str, ...], int, str | None]], matcher: PatternMatcher
) -> Iterator[Diagnostic]:
    """A name spelled out that another entry's pattern matches: both name that module."""
    said: set[tuple[int, int]] = set()
    for names, index, class_name in literals:
        for other, other_class in matcher.match(names):
            pair = (min(index, other), max(index, other))
            # A class filter may keep them apart: only the model tells.
            if index != other and class_name == other_class and pair not in said:
                said.add(pair)
                yield from _conflict(block, *pair, ".".join(names))


def _conflict(block: ResolvedBlock, first: int, second: int, module: str) -> Iterator[Diagnostic]:
    earlier, later = block.entries[first], block.entries[second]
    # `override` says who wins. Entries that need the model to be there may not both be.
    if later.value.override or earlier.value.when is not None or later.value.when is not None:
        return
    if (
        earlier.location.document is later.location.document
        and earlier.location.path[1] != later.location.path[1]
    ):
        return  # two blocks of one kind and axis: that is the fault, and said
    what = block.row.entry_noun
    on = f" on axis '{block.axes[0].value}'" if block.axes else ""
    yield diagnostic("R301", later.location.label("the second", later.value.pattern_field), f"two {what} for one module{on}",
                 f"at: {module or 'root'}",
                 "help: write 'override' before the one that is to win, or narrow a pattern",
                 secondary=(earlier.location.label("the first", earlier.value.pattern_field),))  # fmt: skip
