"""JSON to data, by the standard library; places in it come from the YAML reader, since YAML
is nearly a superset of JSON."""

from __future__ import annotations

import json
from typing import Any

import yaml

from planc.data.tree import MAX_DEPTH, DataFault, compose
from planc.ir.source import Source, Span


def load_json(source: Source) -> Any:
    """The data of a JSON text.

    Raises:
        DataFault: it is not JSON, is nested too deeply, or says a field twice.
    """
    depth = 0
    for at, char in enumerate(source.text):
        depth += (char in "[{") - (char in "]}")
        # Brackets in strings are counted too, but only to refuse what is absurd anyway.
        if depth > MAX_DEPTH:
            needed = f"needed: at most {MAX_DEPTH} levels"
            raise DataFault("S006", "this is nested too deeply", Span(at, at + 1), needed)
    try:
        return json.loads(source.text, parse_constant=_constant, object_pairs_hook=_object)
    except json.JSONDecodeError as bad:
        raise DataFault("S004", f"this is not JSON: {bad.msg.lower()}", Span(bad.pos, bad.pos + 1)) from None
    except (ValueError, RecursionError) as bad:
        raise DataFault("S004", f"this is not JSON: {bad}", Span(0, 1)) from None


def _constant(text: str) -> None:
    raise ValueError(f"{text} is not a number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field '{twice}' stands twice")
    return data


def places(source: Source) -> yaml.Node | None:
    """The tree of a JSON text, for places alone; None where YAML does not read it."""
    try:
        return compose(source)
    except DataFault:
        return None
