"""What a model is captured from: `hf:CLASS`, `package.module:factory`, or a graph file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from planc.graphs.faults import refuse, whole
from planc.graphs.write import ENDINGS
from planc.ir.record import Record
from planc.ir.source import Source
from planc.torch.faults import near

Kind = Literal["class", "config", "factory", "graph"]


class Reference(Record):
    """A reference in its parts."""

    kind: Kind
    text: str
    name: str
    """The class, the file of the configuration, the module or file of the factory, the graph."""
    factory: str = ""
    settings: Mapping[str, str] = {}  # never changed
    """What the query sets in the configuration."""


def parse(source: Source) -> Reference:
    """Read a reference.

    Raises:
        CaptureFault: it is none.
    """
    text = source.text
    if text.startswith("hf:"):
        return _transformers(source)
    if text.endswith(ENDINGS) and (":" not in text or os.path.exists(text)):
        return Reference("graph", text, text)
    name, colon, factory = text.rpartition(":")
    if colon and name and factory.replace(".", "").isidentifier():
        return Reference("factory", text, name, factory)
    return refuse(
        "G803",
        f"{text!r} names no model",
        whole(source),
        "needed: hf:CLASS, hf:path/to/config.json, package.module:factory, file.py:factory, or a graph file",
    )


def _transformers(source: Source) -> Reference:
    name, _, query = source.text.removeprefix("hf:").partition("?")
    settings: dict[str, str] = {}
    for part in query.split("&") if query else ():
        key, equal, value = part.partition("=")
        if not equal or not all(word.isidentifier() for word in key.split(".")):
            refuse("G803", f"{part!r} sets nothing", whole(source, part), "needed: NAME=VALUE&NAME=VALUE...")
        if key in settings:
            refuse("G803", f"'{key}' is set twice", whole(source, part))
        settings[key] = value
    if name.endswith(".json"):
        return Reference("config", source.text, name, settings=settings)
    if not name.isidentifier():
        refuse(
            "G803",
            f"{name!r} is no class of transformers",
            whole(source, name),
            "needed: the name of a class, as hf:LlamaForCausalLM, or a configuration, as hf:path/to/config.json",
            "note: nothing is fetched from a hub: give the config.json of the model",
        )
    return Reference("class", source.text, name, settings=settings)


def typed(source: Source, key: str, text: str, default: Any) -> Any:
    """A value of the query, of the type that the configuration's default has.

    Raises:
        CaptureFault: it is not of that type.
    """
    value = _value(text, default)
    if value is None:
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[type(default)]
        refuse("G803", f"'{key}' cannot be {text!r}", whole(source, f"{key}={text}"), f"needed: {wanted}")
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


def unknown_setting(source: Source, key: str, names: Sequence[str], where: str) -> None:
    """Refuse a setting that a configuration does not have.

    Raises:
        CaptureFault: always.
    """
    last = key.rpartition(".")[2]
    meant = near(last, list(names))
    refuse("G803", f"{where} has no setting '{key}'", whole(source, last), meant=meant)
