"""Lines that a plan could have: patterns for modules, and where a rule for them would stand."""

from __future__ import annotations

from collections.abc import Iterable

from planc.ir.diagnostic import Edit, Fix, Label
from planc.ir.settled import Placed, SettledBlock
from planc.ir.source import Span
from planc.layouts.outcome import joined
from planc.resolve.bind import Binding, Bound
from planc.resolve.written import lines_after


class Lines:
    """New rules for one block of a plan."""

    def __init__(self, binding: Binding, block: SettledBlock) -> None:
        self.binding, self.block = binding, block
        self.number = next(i for i, each in enumerate(binding.settled.blocks) if each is block)
        self.own = binding.settled.documents[0]
        """The document that may be edited."""

    def rule(self, module: str) -> Placed | None:
        """The rule of a module."""
        bound = self.binding.root.below(module)
        return None if bound is None else self.entry(bound)

    def entry(self, bound: Bound) -> Placed | None:
        """The rule of a bound module."""
        return self.binding.entry(bound, self.number)

    def patterns(self, modules: Iterable[str]) -> list[str]:
        """Patterns for some modules; layers that are alike are one pattern, if none of them has a rule."""
        wanted = list(modules)
        stars = dict.fromkeys(starred(name) for name in wanted)
        taken = {
            starred(name)
            for name, bound in self.binding.root.walk()
            if name not in wanted and self.binding.entry(bound, self.number) is not None
        }
        names = [star for star in stars if star not in taken]
        names += [name for name in wanted if starred(name) in taken]
        parents: dict[str, list[str]] = {}
        for name in names:
            above, _, own = name.rpartition(".")
            parents.setdefault(above, []).append(own)
        return [
            joined(above, children[0] if len(children) == 1 else f"{{{','.join(children)}}}")
            for above, children in parents.items()
        ]

    def added(self, patterns: list[str], said: str, *more: Edit) -> Fix | None:
        """The rules `PATTERN said`, each below the rule that is nearest."""
        written = [(self.nearest(pattern), self._short(pattern)) for pattern in patterns]
        if not written or any(entry is None for entry, _ in written):
            return None
        message = "add " + ", ".join(f"'{name}  {said}'" for _, name in written)
        edits = list(more)
        for entry, name in written:
            assert entry is not None
            fix = lines_after(entry.place.label(), [_aligned(entry, name, said)], message)
            if fix is None:
                return None
            edits += fix.edits
        return Fix(message, tuple(edits))

    def last(self, line: str) -> Fix | None:
        """A line below all rules."""
        entries = [entry for entry in self.block.entries if entry.place.document is self.own]
        if not entries:
            return None
        name, _, said = line.partition("  ")
        return lines_after(
            entries[-1].place.label(), [_aligned(entries[-1], name, said.strip())], f"add '{line}'"
        )

    def nearest(self, pattern: str, style: str = "") -> Placed | None:
        """The rule, of this style if one is named, whose pattern begins most alike: the last of these."""
        best: tuple[int, Placed | None] = (-1, None)
        for entry in self.block.entries:
            if entry.place.document is self.own and (not style or entry.value.style == style):
                alike = _alike(str(entry.value.pattern), pattern)
                best = (
                    max(best, (alike, entry), key=lambda one: one[0]) if alike < best[0] else (alike, entry)
                )
        return best[1]

    def output(self, module: str) -> str:
        """How a rowwise module leaves its output, as it is written: as the input of the module around it
        came, or as other rowwise rules say."""
        above = self.rule(module.rpartition(".")[0])
        if above is not None and above.value.inputs:
            label = above.place.label("", "inputs", 0, "before")
            came = label.source.text[label.span.start : label.span.end]
            return "" if came == "replicate" else came
        entry = self.nearest(self.patterns([module])[0], "rowwise")
        return written(entry, "output") if entry is not None else ""

    def _short(self, pattern: str) -> str:
        """The pattern with the plan's own name for its beginning."""
        known = sorted(self.binding.settled.patterns.items(), key=lambda item: -len(str(item[1])))
        for name, meant in known:
            if f"{pattern}.".startswith(f"{meant}."):
                return f"{name}{pattern[len(str(meant)) :]}"
        return pattern

    def named(self, layout: str) -> str:
        """A layout by the plan's own name for it, if it has one."""
        names = [name for name, meant in self.binding.settled.layouts.items() if str(meant) == layout]
        return names[0] if len(names) == 1 and layout != "replicate" else layout


def written(entry: Placed, field: str) -> str:
    """A layout of a rule as the text has it; nothing where the rule does not say it."""
    if getattr(entry.value, field) is None:
        return ""
    label = entry.place.label("", field)
    return label.source.text[label.span.start : label.span.end]


def behind(entry: Placed, *field: str) -> Label:
    """The place behind a rule, or behind a piece of it."""
    label = entry.place.label("", *field)
    return Label(label.source, Span(label.span.end, label.span.end))


def starred(name: str) -> str:
    """The pattern of a module and those that differ from it in a number."""
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def _alike(one: str, other: str) -> int:
    """How many names two patterns have in common at their beginning."""
    count = 0
    for left, right in zip(one.split("."), other.split("."), strict=False):
        if left != right and "*" not in (left, right):
            break
        count += 1
    return count


def _aligned(entry: Placed, name: str, said: str) -> str:
    """A line whose columns are those of another rule."""
    label = entry.place.label()
    text = label.source.text
    start = entry.place.label("", "pattern").span
    behind = text[start.end : label.span.end]
    column = start.end - label.span.start + len(behind) - len(behind.lstrip())
    return f"{name.ljust(column)}{said}" if len(name) + 1 < column else f"{name}   {said}"
