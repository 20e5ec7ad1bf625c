"""JSON to data, by the standard library. Places come from the YAML reader, since YAML is nearly a superset
of JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from planc.ir.source import Source, Span
from planc.syntax.data.yaml_tree import MAX_DEPTH, DataError, compose_tree

_MARK = re.compile(r'[\[\]{}]|"(?:[^"\\]|\\.)*"', re.DOTALL)
"""A bracket, or a string, whose brackets do not count."""


def load_json(source: Source) -> Any:
    """The data of a JSON text.

    Raises:
        DataError: it is not JSON, is nested too deeply, or has a field twice.
    """
    depth = 0
    for mark in _MARK.finditer(source.text):
        depth += (mark[0] in "[{") - (mark[0] in "]}")
        if depth > MAX_DEPTH:
            needed = f"needed: at most {MAX_DEPTH} levels"
            raise DataError("S006", "this is nested too deeply", Span(*mark.span()), needed)
    try:
        data = json.loads(source.text, parse_constant=_constant, object_pairs_hook=_object)
        json.dumps(data, ensure_ascii=False).encode()
    except json.JSONDecodeError as bad:
        raise DataError("S004", f"this is not JSON: {bad.msg.lower()}", Span(bad.pos, bad.pos + 1)) from None
    except _InvalidJson as bad:
        found = list(re.finditer(bad.pattern, source.text))
        span = Span(*found[min(bad.index, len(found) - 1)].span()) if found else Span(0, 1)
        raise DataError("S004", str(bad), span) from None
    except UnicodeEncodeError:
        half = re.search(r"\\u[dD][89a-fA-F]", source.text)
        at = half.start() if half else 0
        raise DataError("S003", "this is half of a surrogate pair", Span(at, at + 6)) from None
    except (ValueError, RecursionError) as bad:
        raise DataError("S004", f"this is not JSON: {bad}", Span(0, 1)) from None
    return data


class _InvalidJson(Exception):
    """A text that Python takes and JSON does not allow: match number `index` of the expression `pattern`."""

    def __init__(self, message: str, pattern: str, index: int) -> None:
        super().__init__(message)
        self.pattern, self.index = pattern, index


def _constant(text: str) -> None:
    raise _InvalidJson(f"{text} is not a number of JSON", rf"{text}\b", 0)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _InvalidJson(
            f"the field '{twice}' appears twice", rf"{re.escape(json.dumps(twice))}(?=\s*:)", 1
        )
    return data


def span_tree(source: Source) -> yaml.Node | None:
    """The YAML tree of a JSON text, for places; None where YAML does not read it."""
    try:
        return compose_tree(source)
    except DataError:
        return None
