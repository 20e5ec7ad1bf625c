"""References to models: `hf:CLASS`, `hf:CONFIG.json`, `package.module:factory`, `file.py:factory`, or a graph file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from planc.closest import closest_name
from planc.graph.capture_error import raise_capture_error, word_label
from planc.ir.record import Record
from planc.ir.source import Source
from planc.paths import GRAPH_SUFFIXES

ReferenceKind = Literal["class", "config", "factory", "graph"]
_BOOLEANS = {"true": True, "false": False}
_MAX_DIGITS = 15


class ModelReference(Record):
    """A reference in its parts."""

    kind: ReferenceKind
    text: str
    name: str
    """The class, the configuration file, the module or file of the factory, or the graph file."""
    factory: str = ""
    settings: Mapping[str, str] = {}  # never changed
    """The settings of the configuration that the query changes."""


def parse_reference(source: Source) -> ModelReference:
    """Parse a reference.

    Raises:
        CaptureError: the text is not a reference.
    """
    text = source.text
    if text.startswith("hf:"):
        return _parse_transformers(source)
    if text.endswith(GRAPH_SUFFIXES) and (":" not in text or os.path.exists(text)):
        return ModelReference("graph", text, text)
    name, colon, factory = text.rpartition(":")
    if colon and name and factory.replace(".", "").isidentifier():
        return ModelReference("factory", text, name, factory)
    return raise_capture_error(
        "G803",
        word_label(source),
        f"{text!r} does not name a model",
        "needed: hf:CLASS, hf:path/to/config.json, package.module:factory, file.py:factory, or a graph file",
    )


def _parse_transformers(source: Source) -> ModelReference:
    name, _, query = source.text.removeprefix("hf:").partition("?")
    settings: dict[str, str] = {}
    for part in query.split("&") if query else ():
        key, equal, value = part.partition("=")
        label = word_label(source, part)
        if not equal or not all(word.isidentifier() for word in key.split(".")):
            raise_capture_error("G803", label, f"not a setting: {part!r}", "needed: NAME=VALUE&NAME=VALUE...")
        if key in settings:
            raise_capture_error("G803", label, f"'{key}' is set twice")
        settings[key] = value
    if name.endswith(".json"):
        return ModelReference("config", source.text, name, settings=settings)
    if not name.isidentifier():
        raise_capture_error(
            "G803",
            word_label(source, name),
            f"{name!r} is not the name of a class of transformers",
            "needed: a class, such as hf:LlamaForCausalLM, or a configuration, such as hf:path/to/config.json",
            "note: planc fetches nothing from a hub: name the config.json of the model",
        )
    return ModelReference("class", source.text, name, settings=settings)


def parse_setting(source: Source, name: str, text: str, default: Any) -> Any:
    """The value of a setting, of the type that the configuration's default has.

    Args:
        source: the reference.
        name: the setting.
        text: its value in the query.
        default: the value in the configuration.

    Raises:
        CaptureError: the text is not a value of that type.
    """
    value = _parse_value(text, default)
    if value is None:
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[type(default)]
        raise_capture_error(
            "G803", word_label(source, f"{name}={text}"), f"'{name}' cannot be {text!r}", f"needed: {wanted}"
        )
    return None if value is _NULL else value


_NULL = object()


def _parse_value(text: str, default: Any) -> Any:
    """The value of a text, `_NULL` for null; None: the text is not of the default's type."""
    if type(default) is bool:
        return _BOOLEANS.get(text.lower())
    if type(default) is int:
        return _parse_int(text)
    if type(default) is float:
        return _parse_float(text)
    if isinstance(default, str):
        return text
    # The default is null or a list: the text itself shows its type.
    if text.lower() in ("none", "null"):
        return _NULL
    candidates = (_BOOLEANS.get(text.lower()), _parse_int(text), _parse_float(text), text)
    return next(value for value in candidates if value is not None)


def _parse_int(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= _MAX_DIGITS else None


def _parse_float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def raise_unknown_setting(source: Source, name: str, names: Sequence[str], config_class: str) -> None:
    """Refuse a setting that a configuration does not have.

    Raises:
        CaptureError: always.
    """
    last = name.rpartition(".")[2]
    raise_capture_error(
        "G803",
        word_label(source, last),
        f"{config_class} has no setting '{name}'",
        suggestion=closest_name(last, names),
    )
