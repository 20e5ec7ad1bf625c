"""JSON and YAML to document."""

from __future__ import annotations

import json
from collections.abc import Callable
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
from planc.syntax import parse_scalar as _parse_scalar  # noqa: F401  installs how expressions and layouts are read
from planc.syntax.data.json_loader import load_json, span_tree
from planc.syntax.data.yaml_tree import DataError, compose_tree, key_span, tree_to_data, value_span


def plan_adapter() -> TypeAdapter[Plan]:
    """What pydantic makes of the records of a plan, with blocks of every kind that has a row."""
    return _adapter_for(tuple(BLOCK_KINDS))


@cache
def _adapter_for(kinds: tuple[str, ...]) -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


def read_data(source: Source) -> Document:
    """The plan that JSON or YAML says; faults are placed in the text, with their path."""
    try:
        if source.format == "json":
            data, root = load_json(source), span_tree(source)
        else:
            root = compose_tree(source)
            data = tree_to_data(root)
    except DataError as bad:
        span = source.span(bad.span.start, bad.span.end)
        fault = diagnostic(bad.code, Label(source, span), bad.message, *bad.notes)
        return Document(source, Plan(), lambda _: span, (fault,))
    find: Callable[[FieldPath], Span] = lambda path: value_span(root, path)  # noqa: E731
    try:
        # Through JSON, so that both forms are read by the same strict rules.
        plan = plan_adapter().validate_json(json.dumps(data))
    except ValidationError as bad:
        return Document(source, Plan(), find, tuple(_diagnostics(bad, data, source, root)))
    return Document(source, plan, find)


def _diagnostics(bad: ValidationError, data: Any, source: Source, root: yaml.Node | None) -> list[Diagnostic]:
    """One diagnostic a place: pydantic says what each member of a union would have taken."""
    found: dict[tuple[FieldPath, str], list[Any]] = {}
    errors = bad.errors(include_url=False)
    for error in errors:
        if error["type"] == "too_short" and any(
            len(e["loc"]) > len(error["loc"]) and e["loc"][: len(error["loc"])] == error["loc"]
            for e in errors
        ):
            continue  # its items are faulty, not missing
        path, _ = _path(error["loc"], data)
        own = error["type"] if error["type"] in _OWN else "value"
        found.setdefault((path, f"{own} {error['loc'][-1]}" if own in _FIELDS else own), []).append(error)
    given: dict[int, set[str]] = {}
    return [_diagnostic(errors, path, data, source, root, given=given) for (path, _), errors in found.items()]


_FIELDS = ("unexpected_keyword_argument", "missing", "missing_argument")
_OWN = (
    *_FIELDS,
    "union_tag_invalid",
    "union_tag_not_found",
    "planc_scalar",
)


def _diagnostic(
    errors: list[Any],
    path: FieldPath,
    data: Any,
    source: Source,
    root: yaml.Node | None,
    *,
    given: dict[int, set[str]],
) -> Diagnostic:
    error = errors[0]
    code, message, notes = "S004", str(error["msg"]), [f"at: {format_path(path)}"]
    span = value_span(root, path)
    match error["type"]:
        case "unexpected_keyword_argument":
            name = str(error["loc"][-1])
            message, span = f"there is no field '{name}' here", key_span(root, path)
            parent = _path(error["loc"], data)[1]
            if id(parent) not in given:
                given[id(parent)] = _fields_in(parent)
            meant = closest_match(name, _fields_beside(given[id(parent)] - {name}))
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
            wanted = [_wanted(e) for e in errors]
            notes.append(f"needed: {', or '.join(dict.fromkeys(wanted))}")
    return diagnostic(code, Label(source, source.span(span.start, span.end), "", path), message, *notes)


def _wanted(error: Any) -> str:
    if error["type"] == "too_short":
        return "at least one"
    return str(error["msg"]).removeprefix("Input should be ").removeprefix("a valid ")


def _path(loc: tuple[str | int, ...], data: Any) -> tuple[FieldPath, Any]:
    """The path of an error in the data, and what holds its last step. pydantic puts names
    of union members into the path; the data does not have them."""
    path: list[str | int] = []
    here = parent = data
    for step in loc:
        inside = (isinstance(here, dict) and step in here) or (
            isinstance(here, list) and isinstance(step, int) and step < len(here)
        )
        if inside:
            path.append(step)
            parent, here = here, here[step]
    return tuple(path), parent


def _fields_in(parent: Any) -> set[str]:
    """The fields of an object that some record has."""
    every = set[str]().union(*_fields())
    return every.intersection(parent) if isinstance(parent, dict) else set()


def _fields_beside(given: set[str]) -> set[str]:
    """The fields of the records that have all of the given ones."""
    return {field for fields in _fields() if given <= fields for field in fields}


@cache
def _fields() -> tuple[frozenset[str], ...]:
    """The names of the fields of every record."""

    def below(cls: type[Record]) -> list[type[Record]]:
        return [cls, *(c for sub in cls.__subclasses__() for c in below(sub))]

    return tuple({frozenset(cls._names) for cls in below(Record) if cls._names})


def format_path(path: FieldPath) -> str:
    """A path as a person writes it: `blocks[0].rules[2].style`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.lstrip(".") or "the whole plan"
