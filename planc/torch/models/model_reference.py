"""What a model is captured from: `hf:CLASS`, `package.module:factory`, or a graph file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from planc.graph.capture_error import raise_capture_error, word_label
from planc.ir.record import Record
from planc.ir.source import Source
from planc.paths import GRAPH_SUFFIXES
from planc.torch.models.exception_text import closest_name

ReferenceKind = Literal["class", "config", "factory", "graph"]


class ModelReference(Record):
    """A reference in its parts."""

    kind: ReferenceKind
    text: str
    name: str
    """The class, the file of the configuration, the module or file of the factory, the graph."""
    factory: str = ""
    settings: Mapping[str, str] = {}  # never changed
    """What the query sets in the configuration."""


def parse_reference(source: Source) -> ModelReference:
    """Read a reference.

    Raises:
        CaptureFault: it is none.
    """
    text = source.text
    if text.startswith("hf:"):
        return _transformers(source)
    if text.endswith(GRAPH_SUFFIXES) and (":" not in text or os.path.exists(text)):
        return ModelReference("graph", text, text)
    name, colon, factory = text.rpartition(":")
    if colon and name and factory.replace(".", "").isidentifier():
        return ModelReference("factory", text, name, factory)
    return raise_capture_error(
        "G803",
        word_label(source),
        f"{text!r} names no model",
        "needed: hf:CLASS, hf:path/to/config.json, package.module:factory, file.py:factory, or a graph file",
    )


def _transformers(source: Source) -> ModelReference:
    name, _, query = source.text.removeprefix("hf:").partition("?")
    settings: dict[str, str] = {}
    for part in query.split("&") if query else ():
        key, equal, value = part.partition("=")
        if not equal or not all(word.isidentifier() for word in key.split(".")):
            raise_capture_error(
                "G803", word_label(source, part), f"{part!r} sets nothing", "needed: NAME=VALUE&NAME=VALUE..."
            )
        if key in settings:
            raise_capture_error("G803", word_label(source, part), f"'{key}' is set twice")
        settings[key] = value
    if name.endswith(".json"):
        return ModelReference("config", source.text, name, settings=settings)
    if not name.isidentifier():
        raise_capture_error(
            "G803",
            word_label(source, name),
            f"{name!r} is no class of transformers",
            "needed: the name of a class, as hf:LlamaForCausalLM, or a configuration, as hf:path/to/config.json",
            "note: nothing is fetched from a hub: give the config.json of the model",
        )
    return ModelReference("class", source.text, name, settings=settings)


def parse_setting(source: Source, name: str, text: str, default: Any) -> Any:
    """A value of the query, of the type that the configuration's default has.

    Raises:
        CaptureFault: it is not of that type.
    """
    value = _value(text, default)
    if value is None:
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[type(default)]
        raise_capture_error(
            "G803", word_label(source, f"{name}={text}"), f"'{name}' cannot be {text!r}", f"needed: {wanted}"
        )
    return None if value is _NONE else value


_NONE = object()


def _value(text: str, default: Any) -> Any:
    """The value that a text says; None: it says none."""
    if type(default) is bool:
        return {"true": True, "false": False}.get(text.lower())
    if type(default) is int:
        return _whole_number(text)
    if type(default) is float:
        return _number(text)
    if isinstance(default, str):
        return text
    # Nothing, or a list: what the text looks like.
    if text.lower() in ("none", "null"):
        return _NONE
    looks = ({"true": True, "false": False}.get(text.lower()), _whole_number(text), _number(text), text)
    return next(value for value in looks if value is not None)


def _whole_number(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= 15 else None


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def raise_unknown_setting(source: Source, name: str, names: Sequence[str], config_class: str) -> None:
    """Refuse a setting that a configuration does not have.

    Raises:
        CaptureFault: always.
    """
    last = name.rpartition(".")[2]
    meant = closest_name(last, list(names))
    raise_capture_error(
        "G803", word_label(source, last), f"{config_class} has no setting '{name}'", suggestion=meant
    )
