"""YAML and JSON as trees with the place of each value."""

from __future__ import annotations

from typing import Any

import yaml

from planc.ir.diagnostic import FieldPath
from planc.ir.source import Source, Span

MAX_DEPTH = 100
_COLLECTIONS = ("tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")
_CONSTRUCTOR = yaml.constructor.SafeConstructor()
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class DataError(Exception):
    """A text that is not JSON or YAML, or uses what a plan may not use."""

    def __init__(self, code: str, message: str, span: Span, *notes: str) -> None:
        super().__init__(message)
        self.code, self.message, self.span, self.notes = code, message, span, notes


def compose_tree(source: Source) -> yaml.Node | None:
    """The tree of a source.

    Raises:
        DataError: it does not parse, is nested too deeply, or holds an alias.
    """
    depth = 0
    try:
        for event in yaml.parse(source.text, Loader=_LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            span = _span(event.start_mark, event.end_mark)
            if depth > MAX_DEPTH:
                raise DataError(
                    "S006", "this is nested too deeply", span, f"needed: at most {MAX_DEPTH} levels"
                )
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise DataError("S004", "a plan cannot use anchors or aliases", span, "help: write it out")
        return yaml.compose(source.text, Loader=_LOADER)
    except yaml.MarkedYAMLError as bad:
        mark = bad.problem_mark or bad.context_mark
        at = mark.index if mark else 0
        message = f"this is not {source.format.upper()}: {bad.problem or bad.context}"
        raise DataError("S004", message, Span(at, at + 1)) from None
    except (yaml.YAMLError, ValueError) as bad:
        at = getattr(bad, "position", 0) or 0
        raise DataError(
            "S003", f"this is not {source.format.upper()}: {bad.__class__.__name__}", Span(at, at + 1)
        ) from None


def tree_to_data(node: yaml.Node | None) -> Any:
    """The data of a tree: dicts, lists, strings, numbers, booleans, None.

    Raises:
        DataError: a key appears twice, or a plan cannot contain a value.
    """
    if node is None:
        return {}
    if isinstance(node, yaml.CollectionNode) and node.tag not in _COLLECTIONS:
        span = _span(node.start_mark, node.end_mark)
        raise DataError("S004", "a plan cannot contain this value", span, f"got: {node.tag}")
    if isinstance(node, yaml.SequenceNode):
        return [tree_to_data(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        data: dict[str, Any] = {}
        for key, value in node.value:
            name = _scalar(key)
            span = _span(key.start_mark, key.end_mark)
            if not isinstance(name, str):
                raise DataError("S004", "a field name must be a text", span, f"got: {name}")
            if name in data:
                raise DataError("S004", f"the field '{name}' appears twice", span)
            data[name] = tree_to_data(value)
        return data
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    span = _span(node.start_mark, node.end_mark)
    tag = node.tag.rpartition(":")[2]
    if not isinstance(node, yaml.ScalarNode) or tag not in ("str", "int", "bool", "null", "float"):
        # Dates and the like are taken as their text.
        if isinstance(node, yaml.ScalarNode) and tag in ("timestamp", "value", "merge"):
            return node.value
        raise DataError("S004", "a plan cannot contain this value", span, f"got: {node.tag}")
    if tag == "str":
        return node.value
    if len(node.value) > 40:
        raise DataError("S006", "this number is too long", span)
    try:
        return getattr(_CONSTRUCTOR, f"construct_yaml_{tag}")(node)
    except (ValueError, LookupError, yaml.YAMLError):
        raise DataError("S004", f"this is not a valid {tag}", span, f"got: {node.value}") from None


def value_span(root: yaml.Node | None, path: FieldPath) -> Span:
    """The span of the value at a path, or of the nearest one around it."""
    if root is None:
        return Span(0, 0)
    node: yaml.Node = root
    key: yaml.Node | None = None
    for step in path:
        found = _child(node, step)
        if found is None:
            break
        key, node = found
    # The label of a value of many lines points at its key.
    if not isinstance(node, yaml.ScalarNode) and node.start_mark.line != node.end_mark.line:
        at = key or node
        end = at.end_mark.index if key else at.start_mark.index + 1
        return Span(at.start_mark.index, end)
    return _span(node.start_mark, node.end_mark)


def key_span(root: yaml.Node | None, path: FieldPath) -> Span:
    """The span of the name of the field at a path."""
    if root is None or not path:
        return Span(0, 0)
    node = root
    for step in path[:-1]:
        found = _child(node, step)
        if found is None:
            return value_span(root, path)
        node = found[1]
    last = _child(node, path[-1])
    if last is None or last[0] is None:
        return value_span(root, path)
    return _span(last[0].start_mark, last[0].end_mark)


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Node | None, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return None, node.value[step]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == step:
                return key, value
    return None


def _span(start: Any, end: Any) -> Span:
    return Span(start.index, end.index)
