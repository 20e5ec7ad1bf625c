"""The names of a plan: options and axes with their values, lets with their patterns and layouts."""

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
    """The meaning of each name in one resolved plan."""

    def __init__(
        self,
        values: Mapping[str, ExprValue],
        types: Mapping[str, type],
        sink: DiagnosticSink,
    ) -> None:
        self.values, self.types, self.sink = values, types, sink
        self.patterns: dict[str, Pattern] = {}
        self.layouts: dict[str, Layout | None] = {}
        self.layout_names: frozenset[str] = frozenset()

    def evaluate_condition(self, condition: Expr, location: PlanPath) -> bool | None:
        """Whether a condition holds; None where that needs the model, or where its evaluation fails."""
        value = self.evaluate_typed(condition, bool, location)
        return None if value is None else bool(value)

    def evaluate_typed(self, expr: Expr, wanted: type, location: PlanPath) -> ExprValue | None:
        """The value of an expression, of the type wanted; None as chain. Errors of evaluation are reported."""
        try:
            kind = infer_type(expr, self.types)
            if kind is not None and kind is not wanted:
                got = "a number" if kind is int else "true or false"
                needed = "a number" if wanted is int else "true or false"
                self.sink.report("X402", location.label(f"this is {got}"), "an expression of the wrong type",
                                f"needed: {needed}")  # fmt: skip
                return None
            value = evaluate(expr, self.values)
        except EvalError as bad:
            code = "X403" if bad.kind == "zero" else "X402"
            message = "a division by zero" if bad.kind == "zero" else "operands of the wrong type"
            self.sink.report(code, location.label(bad.got), message, f"in: {bad.expr}")
            return None
        return value

    def starts_with_let(self, pattern: Pattern) -> bool:
        """Whether a pattern starts with the name of a let."""
        head = pattern.segments[0]
        return len(head) == 1 and (head[0] in self.patterns or head[0] in self.layout_names)

    def expand_pattern(self, pattern: Pattern, location: PlanPath) -> Pattern | None:
        """The pattern with the let at its start expanded; None: it cannot be, which is reported."""
        head = pattern.segments[0]
        name = head[0] if len(head) == 1 else None
        if not isinstance(name, str):
            return pattern
        base = self.patterns.get(name)
        if base is None:
            if name in self.layout_names:
                self.sink.report("N108", location.label("a layout"), f"'{name}' names a layout, not a pattern",
                                f"help: for a module of that name, write {{{name}}}")  # fmt: skip
                return None
            return pattern
        return self._join(base, pattern, location)

    def _join(self, base: Pattern, pattern: Pattern, location: PlanPath) -> Pattern | None:
        tail = pattern.segments[1:]
        if not tail:
            if pattern.class_name and base.class_name not in (None, pattern.class_name):
                self.sink.report("N108", location.label(), f"this let keeps modules of class {base.class_name}",
                                "needed: a let without a class, or the same one")  # fmt: skip
                return None
            class_name = pattern.class_name or base.class_name
            return Pattern(base.segments, class_name, base.optional or pattern.optional)
        if base.class_name is not None or base.is_root:
            kept = f"keeps modules of class {base.class_name}" if base.class_name else "is the model itself"
            self.sink.report("N108", location.label(), f"this let {kept}, so no names can follow it",
                            "needed: a let without a class where more names follow")  # fmt: skip
            return None
        joined = Pattern(base.segments + tail, pattern.class_name, base.optional or pattern.optional)
        if len(joined) > MAX_ALTERNATIVES or len(joined.segments) > MAX_SEGMENTS:
            self.sink.report("S006", location.label(f"{joined}"), "a pattern of too many names",
                            f"needed: at most {MAX_ALTERNATIVES:,} names from its braces")  # fmt: skip
            return None
        return joined

    def expand_layout(self, layout: Layout) -> Layout | None:
        """The layout that a let names; None where it is unknown, or depends on the model."""
        if not isinstance(layout, LayoutRef):
            return layout
        # The law `unknown-layout` reports a name that is not a layout.
        return self.layouts.get(layout.name)


def resolve_lets(
    lets: Mapping[str, Located],
    values: Mapping[str, ExprValue],
    types: Mapping[str, type],
    sink: DiagnosticSink,
) -> Scope:
    """Resolve every let: patterns by expansion, layouts by their conditions."""
    scope = Scope(values, types, sink)
    patterns = {name: let for name, let in lets.items() if isinstance(let.value, PatternLet)}
    layouts = {name: let for name, let in lets.items() if isinstance(let.value, LayoutLet)}
    scope.layout_names = frozenset(layouts)
    for name in patterns:
        _resolve_pattern(name, patterns, [], scope)
    for name in layouts:
        _resolve_layout(name, layouts, [], scope)
    return scope


MAX_LET_CHAIN = 100
"""Lets in a chain, each of which refers to the next."""


def _report_cycle(name: str, let: Located, chain: list[str], scope: Scope) -> bool:
    """Report a let that refers to itself, or that is at the end of too long a chain; whether it is one."""
    if name in chain:
        scope.sink.report("N109", let.location.label(), f"let '{name}' refers to itself",
                         f"chain: {' -> '.join([*chain[chain.index(name) :], name])}")  # fmt: skip
    elif len(chain) > MAX_LET_CHAIN:
        scope.sink.report("S006", let.location.label(), "a chain of too many lets",
                         f"needed: at most {MAX_LET_CHAIN} that refer to each other")  # fmt: skip
    return name in chain or len(chain) > MAX_LET_CHAIN


def _resolve_pattern(name: str, lets: Mapping[str, Located], chain: list[str], scope: Scope) -> None:
    if name in scope.patterns:
        return
    let = lets[name]
    if _report_cycle(name, let, chain, scope):
        scope.patterns[name] = let.value.pattern
        return
    head = let.value.pattern.segments[0]
    if len(head) == 1 and head[0] in lets:
        _resolve_pattern(str(head[0]), lets, [*chain, name], scope)
        if name in scope.patterns:
            return
    expanded = scope.expand_pattern(let.value.pattern, let.location.child("pattern"))
    scope.patterns[name] = expanded or let.value.pattern


def _resolve_layout(name: str, lets: Mapping[str, Located], chain: list[str], scope: Scope) -> None:
    if name in scope.layouts:
        return
    let, location = lets[name].value, lets[name].location
    if _report_cycle(name, lets[name], chain, scope):
        scope.layouts[name] = None
        return
    sides: list[Layout | None] = []
    for side in (let.layout, let.otherwise):
        if isinstance(side, LayoutRef) and side.name in lets:
            _resolve_layout(side.name, lets, [*chain, name], scope)
        sides.append(None if side is None else scope.expand_layout(side))
    holds = True if let.when is None else scope.evaluate_condition(let.when, location.child("when"))
    chosen = None if holds is None else sides[0] if holds else sides[1]
    scope.layouts.setdefault(name, chosen)
