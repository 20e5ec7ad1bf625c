"""JSON and YAML to a document."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from planc.closest import closest_match
from planc.ir.block_kinds import BLOCK_KINDS
from planc.ir.diagnostic import Diagnostic, FieldPath, Label, diagnostic
from planc.ir.document import Document
from planc.ir.plan import Plan
from planc.ir.record import Record
from planc.ir.source import Source, Span
from planc.syntax import parse_scalar as _parse_scalar  # noqa: F401  installs the parsers of scalars
from planc.syntax.data.json_loader import load_json, span_tree
from planc.syntax.data.yaml_tree import DataError, compose_tree, key_span, tree_to_data, value_span


def plan_adapter() -> TypeAdapter[Plan]:
    """What pydantic makes of the records of a plan, with blocks of every kind that has a row."""
    return _adapter_for(tuple(BLOCK_KINDS))


@cache
def _adapter_for(kinds: tuple[str, ...]) -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


def read_data(source: Source) -> Document:
    """The plan in a JSON or YAML text; each diagnostic has a span of the text and a path of the data."""
    try:
        if source.format == "json":
            data, root = load_json(source), span_tree(source)
        else:
            root = compose_tree(source)
            data = tree_to_data(root)
    except DataError as bad:
        span = source.span(bad.span.start, bad.span.end)
        error = diagnostic(bad.code, Label(source, span), bad.message, *bad.notes)
        return Document(source, Plan(), lambda _: span, (error,))
    span_at: Callable[[FieldPath], Span] = lambda path: value_span(root, path)  # noqa: E731
    try:
        # Through JSON, so that the same strict rules apply to both formats.
        plan = plan_adapter().validate_json(json.dumps(data))
    except ValidationError as bad:
        found = _ValidationErrors(source, data, root).diagnostics(bad.errors(include_url=False))
        return Document(source, Plan(), span_at, tuple(found))
    return Document(source, plan, span_at)


_FIELD_ERRORS = ("unexpected_keyword_argument", "missing", "missing_argument")
_DISTINCT_ERRORS = (*_FIELD_ERRORS, "union_tag_invalid", "union_tag_not_found", "planc_scalar")
"""Errors of pydantic with a message of their own; all others at one place are one diagnostic."""


class _ValidationErrors:
    """Makes diagnostics of pydantic's errors about some data."""

    def __init__(self, source: Source, data: Any, root: yaml.Node | None) -> None:
        self.source, self.data, self.root = source, data, root
        self._known_fields: dict[int, set[str]] = {}
        """The fields of an object that some record has, by the identity of the object."""

    def diagnostics(self, errors: Sequence[Any]) -> list[Diagnostic]:
        """One diagnostic for each place: pydantic has an error for each member of a union."""
        groups: dict[tuple[FieldPath, str], list[Any]] = {}
        for error in errors:
            if error["type"] == "too_short" and any(_is_inside(other, error) for other in errors):
                continue  # its items are wrong, not missing
            path, _ = self._path(error["loc"])
            kind = error["type"] if error["type"] in _DISTINCT_ERRORS else "value"
            key = f"{kind} {error['loc'][-1]}" if kind in _FIELD_ERRORS else kind
            groups.setdefault((path, key), []).append(error)
        return [self._diagnostic(group, path) for (path, _), group in groups.items()]

    def _diagnostic(self, errors: list[Any], path: FieldPath) -> Diagnostic:
        error = errors[0]
        code, message, notes = "S004", str(error["msg"]), [f"at: {format_path(path)}"]
        span = value_span(self.root, path)
        match error["type"]:
            case "unexpected_keyword_argument":
                name = str(error["loc"][-1])
                message, span = f"there is no field '{name}' here", key_span(self.root, path)
                meant = closest_match(name, self._fields_allowed_with(error))
                notes += [f"help: did you mean '{meant}'?"] if meant else []
            case "missing" | "missing_argument":
                message = f"the field '{error['loc'][-1]}' is missing"
            case "union_tag_invalid":
                message = f"there is no kind '{error['ctx']['tag']}'"
                notes.append(f"needed: {error['ctx']['expected_tags']}".replace("'", ""))
            case "union_tag_not_found":
                message = "the field 'kind' is missing"
            case "planc_scalar":
                code = error["ctx"]["code"]
                message = f"this is not a pattern: {message}" if code == "S005" else message
            case _:
                field = next((step for step in reversed(path) if isinstance(step, str)), None)
                message = f"this is not a value of '{field}'" if field else "this is not a plan"
                notes.append(f"needed: {', or '.join(dict.fromkeys(map(_expected, errors)))}")
        label = Label(self.source, self.source.span(span.start, span.end), "", path)
        return diagnostic(code, label, message, *notes)

    def _path(self, loc: tuple[str | int, ...]) -> tuple[FieldPath, Any]:
        """The path of an error in the data, and the object that its last step is in. pydantic's paths
        have steps for members of unions, which the data does not have."""
        path: list[str | int] = []
        current = parent = self.data
        for step in loc:
            is_inside = (isinstance(current, dict) and step in current) or (
                isinstance(current, list) and isinstance(step, int) and step < len(current)
            )
            if is_inside:
                path.append(step)
                parent, current = current, current[step]
        return tuple(path), parent

    def _fields_allowed_with(self, error: Any) -> set[str]:
        """The fields of the records that have all known fields of the object with an unknown one."""
        parent = self._path(error["loc"])[1]
        if id(parent) not in self._known_fields:
            known = set[str]().union(*_record_fields())
            self._known_fields[id(parent)] = known.intersection(parent) if isinstance(parent, dict) else set()
        known = self._known_fields[id(parent)] - {str(error["loc"][-1])}
        return {field for fields in _record_fields() if known <= fields for field in fields}


def _is_inside(error: Any, outer: Any) -> bool:
    """Whether an error is about a part of what another one is about."""
    depth = len(outer["loc"])
    return len(error["loc"]) > depth and error["loc"][:depth] == outer["loc"]


def _expected(error: Any) -> str:
    """What pydantic expected, as a note says it."""
    if error["type"] == "too_short":
        return "at least one"
    return str(error["msg"]).removeprefix("Input should be ").removeprefix("a valid ")


@cache
def _record_fields() -> tuple[frozenset[str], ...]:
    """The names of the fields of every record."""

    def subclasses(cls: type[Record]) -> list[type[Record]]:
        return [cls, *(each for sub in cls.__subclasses__() for each in subclasses(sub))]

    return tuple({frozenset(cls._names) for cls in subclasses(Record) if cls._names})


def format_path(path: FieldPath) -> str:
    """A path as a person writes it: `blocks[0].rules[2].style`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.lstrip(".") or "the whole plan"
