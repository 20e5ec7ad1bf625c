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
from planc.ir.resolved import Located, Resolved, ResolvedBlock, Settings

MAX_SPELLED_NAMES = 1_000_000
"""This check skips a block whose patterns spell out more names."""


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    for block in resolved.blocks:
        yield from _conflicts_in_block(block)


def count_spelled_names(block: ResolvedBlock) -> int:
    """The number of names that the patterns of a block spell out."""
    return sum(len(p) for entry in block.entries for p in entry.value.named_patterns)


def are_in_two_blocks(earlier: Located, later: Located) -> bool:
    """Whether two entries of one plan come from two blocks of one kind and axis, which has a law of its own."""
    return (
        earlier.location.document is later.location.document
        and earlier.location.path[1] != later.location.path[1]
    )


def _conflicts_in_block(block: ResolvedBlock) -> Iterator[Diagnostic]:
    if count_spelled_names(block) > MAX_SPELLED_NAMES:
        return
    entries_by_name: dict[tuple[str, ...], dict[str | None, int]] = {}
    matcher = PatternMatcher()
    literals: list[tuple[tuple[str, ...], int, str | None]] = []
    for index, entry in enumerate(block.entries):
        conflicts: dict[int, str] = {}
        for pattern in entry.value.named_patterns:
            for names in pattern.alternatives():
                classes = entries_by_name.setdefault(names, {})
                # A pattern without a class matches modules of every class.
                name = pattern.class_name
                shared = classes if name is None else {c: i for c, i in classes.items() if c in (None, name)}
                earlier = [i for i in shared.values() if i != index]
                classes[name] = index
                if earlier:
                    conflicts.setdefault(earlier[-1], ".".join(names))
                elif is_literal_path(names):
                    literals.append((names, index, pattern.class_name))
                else:
                    matcher.add(names, (index, pattern.class_name))
        for first, module in sorted(conflicts.items()):
            yield from _conflict(block, first, index, module)
    if not matcher.is_empty:
        yield from _literal_in_pattern(block, literals, matcher)


def _literal_in_pattern(
    block: ResolvedBlock, literals: list[tuple[tuple[str, ...], int, str | None]], matcher: PatternMatcher
) -> Iterator[Diagnostic]:
    """Names spelled out in one entry that a pattern of another entry matches."""
    reported: set[tuple[int, int]] = set()
    for names, index, class_name in literals:
        for other, other_class in matcher.match(names):
            pair = (min(index, other), max(index, other))
            # With different classes they may match different modules: that needs the model.
            if index != other and class_name == other_class and pair not in reported:
                reported.add(pair)
                yield from _conflict(block, *pair, ".".join(names))


def _conflict(block: ResolvedBlock, first: int, second: int, module: str) -> Iterator[Diagnostic]:
    earlier, later = block.entries[first], block.entries[second]
    # `override` says which one applies. Of entries whose condition needs the model, perhaps only one does.
    if later.value.override or earlier.value.when is not None or later.value.when is not None:
        return
    if are_in_two_blocks(earlier, later):
        return
    noun = block.row.entry_noun
    on = f" on axis '{block.axes[0].value}'" if block.axes else ""
    yield diagnostic("R301", later.location.label("the second", later.value.pattern_field), f"two {noun} for one module{on}",
                 f"at: {module or 'root'}",
                 "help: write 'override' before the one that applies, or narrow a pattern",
                 secondary=(earlier.location.label("the first", earlier.value.pattern_field),))  # fmt: skip
