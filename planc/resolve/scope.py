"""Lets: names of patterns and layouts, and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping

from planc.ir.document import PlanPath
from planc.ir.expr import EvalError, Expr, ExprValue, evaluate
from planc.ir.layout import Layout, LayoutRef
from planc.ir.pattern import MAX_ALTERNATIVES, MAX_SEGMENTS, Pattern
from planc.ir.plan import LayoutLet, PatternLet
from planc.ir.resolved import Located
from planc.resolve.diagnostic_sink import DiagnosticSink
from planc.resolve.expr_types import infer_type


class Scope:
    """What names stand for in one settled plan."""

    def __init__(
        self,
        values: Mapping[str, ExprValue],
        types: Mapping[str, type],
        faults: DiagnosticSink,
    ) -> None:
        self.values, self.types, self.sink = values, types, faults
        self.patterns: dict[str, Pattern] = {}
        self.layouts: dict[str, Layout | None] = {}
        self.layout_names: frozenset[str] = frozenset()

    def evaluate_condition(self, condition: Expr, place: PlanPath) -> bool | None:
        """Whether a condition holds; None where that needs the model, or it has no value."""
        value = self.evaluate_typed(condition, bool, place)
        if value is None:
            return None
        return bool(value)

    def evaluate_typed(self, expr: Expr, wanted: type, place: PlanPath) -> ExprValue | None:
        """The value of an expression; faults in it are said."""
        try:
            kind = infer_type(expr, self.types)
            if kind is not None and kind is not wanted:
                got = "a number" if kind is int else "true or false"
                needed = "a number" if wanted is int else "true or false"
                self.sink.report("X402", place.label(f"this is {got}"), "an expression of the wrong type",
                                f"needed: {needed}")  # fmt: skip
                return None
            value = evaluate(expr, self.values)
        except EvalError as bad:
            code = "X403" if bad.kind == "zero" else "X402"
            message = "a division by zero" if bad.kind == "zero" else "operands of the wrong type"
            self.sink.report(code, place.label(bad.got), message, f"in: {bad.expr}")
            return None
        return value

    def starts_with_let(self, pattern: Pattern) -> bool:
        """Whether a pattern starts with the name of a let."""
        head = pattern.segments[0]
        return len(head) == 1 and (head[0] in self.patterns or head[0] in self.layout_names)

    def expand_pattern(self, pattern: Pattern, place: PlanPath) -> Pattern | None:
        """The pattern with the let name at its start replaced."""
        head = pattern.segments[0]
        name = head[0] if len(head) == 1 else None
        if not isinstance(name, str):
            return pattern
        base = self.patterns.get(name)
        if base is None:
            if name in self.layout_names:
                self.sink.report("N108", place.label("a layout"), f"'{name}' names a layout, not a pattern",
                                f"help: for a module of that name, write {{{name}}}")  # fmt: skip
                return None
            return pattern
        return self._join(base, pattern, place)

    def _join(self, base: Pattern, pattern: Pattern, place: PlanPath) -> Pattern | None:
        tail = pattern.segments[1:]
        if not tail:
            if pattern.class_name and base.class_name not in (None, pattern.class_name):
                self.sink.report("N108", place.label(), f"this let keeps modules of class {base.class_name}",
                                "needed: a let without a class, or the same one")  # fmt: skip
                return None
            class_name = pattern.class_name or base.class_name
            return Pattern(base.segments, class_name, base.optional or pattern.optional)
        if base.class_name is not None or base.is_root:
            what = f"keeps modules of class {base.class_name}" if base.class_name else "is the model itself"
            self.sink.report("N108", place.label(), f"this let {what}, and names nothing below",
                            "needed: a let without a class where more names follow")  # fmt: skip
            return None
        joined = Pattern(base.segments + tail, pattern.class_name, base.optional or pattern.optional)
        if len(joined) > MAX_ALTERNATIVES or len(joined.segments) > MAX_SEGMENTS:
            self.sink.report("S006", place.label(f"{joined}"), "a pattern of too many names",
                            f"needed: at most {MAX_ALTERNATIVES:,} names from its braces")  # fmt: skip
            return None
        return joined

    def expand_layout(self, layout: Layout) -> Layout | None:
        """The layout without a let name; None where it is unknown, or needs the model."""
        if not isinstance(layout, LayoutRef):
            return layout
        # A name that is no layout is said by the check of layouts.
        return self.layouts.get(layout.name)


def resolve_lets(
    lets: Mapping[str, Located],
    values: Mapping[str, ExprValue],
    types: Mapping[str, type],
    faults: DiagnosticSink,
) -> Scope:
    """Work out every let: patterns by themselves, layouts by their conditions."""
    scope = Scope(values, types, faults)
    placed = {n: p for n, p in lets.items() if isinstance(p.value, PatternLet)}
    layouts = {n: p for n, p in lets.items() if isinstance(p.value, LayoutLet)}
    scope.layout_names = frozenset(layouts)
    for name in placed:
        _settle_pattern(name, placed, [], scope)
    for name in layouts:
        _settle_layout(name, layouts, [], scope)
    return scope


MAX_LET_CHAIN = 100
"""Lets in a chain, each of which refers to the next."""


def _refused(name: str, let: Located, above: list[str], scope: Scope) -> bool:
    """Whether a let stands for itself, or on too many others; then the fault is said."""
    if name in above:
        scope.sink.report("N109", let.location.label(), f"let '{name}' refers to itself",
                         f"chain: {' -> '.join([*above[above.index(name) :], name])}")  # fmt: skip
    elif len(above) > MAX_LET_CHAIN:
        scope.sink.report("S006", let.location.label(), "a chain of too many lets",
                         f"needed: at most {MAX_LET_CHAIN} that refer to each other")  # fmt: skip
    return name in above or len(above) > MAX_LET_CHAIN


def _settle_pattern(name: str, lets: Mapping[str, Located], above: list[str], scope: Scope) -> None:
    if name in scope.patterns:
        return
    let = lets[name]
    if _refused(name, let, above, scope):
        scope.patterns[name] = let.value.pattern
        return
    head = let.value.pattern.segments[0]
    if len(head) == 1 and head[0] in lets:
        _settle_pattern(str(head[0]), lets, [*above, name], scope)
        if name in scope.patterns:
            return
    settled = scope.expand_pattern(let.value.pattern, let.location.child("pattern"))
    scope.patterns[name] = settled or let.value.pattern


def _settle_layout(name: str, lets: Mapping[str, Located], above: list[str], scope: Scope) -> None:
    if name in scope.layouts:
        return
    let, place = lets[name].value, lets[name].location
    if _refused(name, lets[name], above, scope):
        scope.layouts[name] = None
        return
    sides: list[Layout | None] = []
    for side in (let.layout, let.otherwise):
        if isinstance(side, LayoutRef) and side.name in lets:
            _settle_layout(side.name, lets, [*above, name], scope)
        sides.append(None if side is None else scope.expand_layout(side))
    holds = True if let.when is None else scope.evaluate_condition(let.when, place.child("when"))
    chosen = None if holds is None else sides[0] if holds else sides[1]
    scope.layouts.setdefault(name, chosen)
