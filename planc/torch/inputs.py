"""What a model is called with."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from planc.graphs.faults import refuse, whole
from planc.graphs.form import BadGraph, info_from
from planc.ir.graph import TensorInfo
from planc.ir.record import Record
from planc.ir.source import Source
from planc.torch.faults import near

MAX_ELEMENTS = 1 << 40


class Given(Record):
    """One `--input`."""

    source: Source
    name: str
    info: TensorInfo


def read_inputs(texts: Sequence[str]) -> tuple[Given, ...]:
    """Read `NAME=DTYPE[d0,d1,...]`, each.

    Raises:
        CaptureFault: one is not of that form, or is given twice.
    """
    given: dict[str, Given] = {}
    for text in texts:
        source = Source("--input", text)
        name, equal, form = text.partition("=")
        name = name.strip()
        if not equal or not (name.isidentifier() or (name.isascii() and name.isdigit())):
            refuse("G804", f"{text!r} is no input", whole(source), "needed: NAME=DTYPE[d0,d1,...]")
        if name in given:
            refuse("G804", f"'{name}' is given twice", whole(source, name))
        given[name] = Given(source, name, _info(source, form.strip()))
    return tuple(given.values())


def _info(source: Source, form: str) -> TensorInfo:
    try:
        info = info_from(form)
    except BadGraph:
        info = None
    if info is None or info.grad or "[" not in form:
        refuse(
            "G804", f"{form!r} is no tensor", whole(source, form), "needed: DTYPE[d0,d1,...], as int64[4,384]"
        )
    dtypes = sorted(name for name in dir(torch) if isinstance(getattr(torch, name), torch.dtype))
    if info.dtype not in dtypes:
        meant = near(info.dtype, dtypes)
        refuse("G804", f"torch has no dtype '{info.dtype}'", whole(source, info.dtype), meant=meant)
    elements = 1
    for size in info.shape:
        elements *= size
    if elements > MAX_ELEMENTS:
        refuse("G804", f"{form} is larger than any batch", whole(source, form))
    return info


def with_inputs(
    model: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], given: Sequence[Given]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the model is called with, after what the command line says of it.

    Raises:
        CaptureFault: the model takes no input of such a name.
    """
    takes = inspect.signature(model.forward)
    words = [p.name for p in takes.parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    # Models of transformers take any keyword, and pass over most.
    is_open = not hasattr(model, "main_input_name") and any(
        p.kind is p.VAR_KEYWORD for p in takes.parameters.values()
    )
    places, named = list(arguments), dict(keywords)
    for one in sorted(given, key=lambda one: (not one.name.isdigit(), len(one.name), one.name)):
        made = made_of(one.info)
        if one.name.isdigit():
            place = int(one.name)
            if place > len(places):
                refuse(
                    "G804",
                    f"there is no input {len(places)} before input {place}",
                    whole(one.source, one.name),
                )
            places[place : place + 1] = [made]
        elif one.name in words or is_open:
            if one.name in words[: len(places)]:
                places[words.index(one.name)] = made
            else:
                named[one.name] = made
        else:
            refuse(
                "G804",
                f"{type(model).__name__} takes no input '{one.name}'",
                whole(one.source, one.name),
                f"needed: one of {', '.join(words)}",
                meant=near(one.name, words),
            )
    return tuple(places), named


def check_call(
    model: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], source: Source
) -> None:
    """Refuse a call that forward's signature does not take.

    Raises:
        CaptureFault: as said.
    """
    try:
        inspect.signature(model.forward).bind(*arguments, **keywords)
    except TypeError as bad:
        refuse(
            "G804",
            f"{type(model).__name__} cannot be called so: {bad}",
            whole(source),
            "help: give its inputs with --input NAME=DTYPE[d0,d1,...]",
        )


def made_of(info: TensorInfo) -> torch.Tensor:
    """A tensor of that form, without numbers."""
    dtype: torch.dtype = getattr(torch, info.dtype)
    return torch.empty(info.shape, dtype=dtype, device="meta")
