"""New rules for a plan: patterns for modules, and the lines where the rules belong."""

from __future__ import annotations

from collections.abc import Iterable

from planc.bind.binding import Binding, BoundModule
from planc.ir.diagnostic import Edit, Fix, Label
from planc.ir.resolved import Located, ResolvedBlock
from planc.ir.source import Span
from planc.ir.styles import Style
from planc.ir.text_fixes import insert_lines_fix
from planc.proof.result import join_module_path


class PlanEditor:
    """Writes new rules for one block of a plan."""

    def __init__(self, binding: Binding, block: ResolvedBlock) -> None:
        self.binding, self.block = binding, block
        self.block_number = next(i for i, each in enumerate(binding.resolved.blocks) if each is block)
        self.document = binding.resolved.documents[0]
        """The document that a fix may edit: base plans are left alone."""

    def rule_for_name(self, module: str) -> Located | None:
        """The rule of a module."""
        bound = self.binding.root.find_submodule(module)
        return None if bound is None else self.rule_of(bound)

    def rule_of(self, bound: BoundModule) -> Located | None:
        """The rule of a bound module."""
        return self.binding.entry_for(bound, self.block_number)

    def patterns_for(self, modules: Iterable[str]) -> list[str]:
        """Patterns for some modules; equal layers get one pattern, if none of them has a rule."""
        wanted = list(modules)
        stars = dict.fromkeys(numbers_to_wildcards(name) for name in wanted)
        taken = {
            numbers_to_wildcards(name)
            for name, bound in self.binding.root.named_modules()
            if name not in wanted and self.binding.entry_for(bound, self.block_number) is not None
        }
        names = [star for star in stars if star not in taken]
        names += [name for name in wanted if numbers_to_wildcards(name) in taken]
        parents: dict[str, list[str]] = {}
        for name in names:
            above, _, own = name.rpartition(".")
            parents.setdefault(above, []).append(own)
        return [
            join_module_path(above, children[0] if len(children) == 1 else f"{{{','.join(children)}}}")
            for above, children in parents.items()
        ]

    def add_rules(self, patterns: list[str], declaration: str, *more: Edit) -> Fix | None:
        """A fix that adds the rules `PATTERN DECLARATION`, each below the rule with the most similar pattern.

        Args:
            patterns: the patterns of the rules.
            declaration: what the rules say, as `colwise  -> shard(-1)`.
            more: further edits of the same fix.
        """
        written = [(self.closest_rule(pattern), self._abbreviate(pattern)) for pattern in patterns]
        if not written or any(entry is None for entry, _ in written):
            return None
        message = "add " + ", ".join(f"'{name}  {declaration}'" for _, name in written)
        edits = list(more)
        for entry, name in written:
            assert entry is not None
            fix = insert_lines_fix(
                entry.location.label(), [_align_columns(entry, name, declaration)], message
            )
            if fix is None:
                return None
            edits += fix.edits
        return Fix(message, tuple(edits))

    def append_line(self, line: str) -> Fix | None:
        """A fix that adds a line below all rules."""
        entries = [entry for entry in self.block.entries if entry.location.document is self.document]
        if not entries:
            return None
        name, _, declaration = line.partition("  ")
        return insert_lines_fix(
            entries[-1].location.label(),
            [_align_columns(entries[-1], name, declaration.strip())],
            f"add '{line}'",
        )

    def closest_rule(self, pattern: str, *, reduces_output: bool = False) -> Located | None:
        """The rule whose pattern has the longest beginning in common: the last one.

        Args:
            reduces_output: take only rules whose style sums outputs over the ranks.
        """
        best: tuple[int, Located | None] = (-1, None)
        for entry in self.block.entries:
            style: Style | None = entry.value.style_row
            if reduces_output and not (style is not None and style.reduces_output):
                continue
            if entry.location.document is self.document:
                alike = _common_names(str(entry.value.pattern), pattern)
                best = (
                    max(best, (alike, entry), key=lambda one: one[0]) if alike < best[0] else (alike, entry)
                )
        return best[1]

    def reduced_output(self, module: str) -> str:
        """The output of a rowwise module as the plan would write it: the layout that arrives at the module around
        it, or what other rowwise rules declare; empty for `replicate`."""
        above = self.rule_for_name(module.rpartition(".")[0])
        if above is not None and above.value.inputs:
            label = above.location.label("", "inputs", 0, "before")
            arriving = label.source.text[label.span.start : label.span.end]
            return "" if arriving == "replicate" else arriving
        entry = self.closest_rule(self.patterns_for([module])[0], reduces_output=True)
        return layout_source(entry, "output") if entry is not None else ""

    def _abbreviate(self, pattern: str) -> str:
        """The pattern, with a let of the plan in place of its beginning."""
        known = sorted(self.binding.resolved.patterns.items(), key=lambda item: -len(str(item[1])))
        for name, meant in known:
            if f"{pattern}.".startswith(f"{meant}."):
                return f"{name}{pattern[len(str(meant)) :]}"
        return pattern

    def layout_name(self, layout: str) -> str:
        """A layout, by the name of the plan's let for it if there is one."""
        names = [name for name, meant in self.binding.resolved.layouts.items() if str(meant) == layout]
        return names[0] if len(names) == 1 and layout != "replicate" else layout


def layout_source(entry: Located, field: str) -> str:
    """A layout of a rule as the plan writes it; empty where the rule does not declare it."""
    if getattr(entry.value, field) is None:
        return ""
    label = entry.location.label("", field)
    return label.source.text[label.span.start : label.span.end]


def label_after(entry: Located, *field: str) -> Label:
    """The empty span after a rule, or after a piece of it."""
    label = entry.location.label("", *field)
    return Label(label.source, Span(label.span.end, label.span.end))


def numbers_to_wildcards(name: str) -> str:
    """The pattern of a module and of those whose names differ from it in numbers alone."""
    return ".".join("*" if part.isdigit() else part for part in name.split("."))


def _common_names(one: str, other: str) -> int:
    """How many names the beginnings of two patterns have in common."""
    count = 0
    for left, right in zip(one.split("."), other.split("."), strict=False):
        if left != right and "*" not in (left, right):
            break
        count += 1
    return count


def _align_columns(entry: Located, name: str, declaration: str) -> str:
    """A line with the columns of another rule."""
    label = entry.location.label()
    text = label.source.text
    start = entry.location.label("", "pattern").span
    behind = text[start.end : label.span.end]
    column = start.end - label.span.start + len(behind) - len(behind.lstrip())
    return f"{name.ljust(column)}{declaration}" if len(name) + 1 < column else f"{name}   {declaration}"
