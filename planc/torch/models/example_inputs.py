"""What a model is called with."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from planc.graph.capture_error import raise_capture_error, word_label
from planc.graph.codec import GraphFormatError, decode_tensor_info
from planc.ir.graph import TensorInfo
from planc.ir.record import Record
from planc.ir.source import Source
from planc.torch.models.exception_text import closest_name

MAX_INPUT_ELEMENTS = 1 << 40


class InputOption(Record):
    """One `--input`."""

    source: Source
    name: str
    info: TensorInfo


def parse_input_options(options: Sequence[str]) -> tuple[InputOption, ...]:
    """Read `NAME=DTYPE[d0,d1,...]`, each.

    Raises:
        CaptureFault: one is not of that form, or is given twice.
    """
    given: dict[str, InputOption] = {}
    for text in options:
        source = Source("--input", text)
        name, equal, form = text.partition("=")
        name = name.strip()
        if not equal or not (name.isidentifier() or (name.isascii() and name.isdigit())):
            raise_capture_error(
                "G804", word_label(source), f"{text!r} is no input", "needed: NAME=DTYPE[d0,d1,...]"
            )
        if name in given:
            raise_capture_error("G804", word_label(source, name), f"'{name}' is given twice")
        given[name] = InputOption(source, name, _info(source, form.strip()))
    return tuple(given.values())


def _info(source: Source, form: str) -> TensorInfo:
    try:
        info = decode_tensor_info(form)
    except GraphFormatError:
        info = None
    if info is None or info.grad or "[" not in form:
        raise_capture_error(
            "G804",
            word_label(source, form),
            f"{form!r} is no tensor",
            "needed: DTYPE[d0,d1,...], as int64[4,384]",
        )
    dtypes = sorted(name for name in dir(torch) if isinstance(getattr(torch, name), torch.dtype))
    if info.dtype not in dtypes:
        meant = closest_name(info.dtype, dtypes)
        raise_capture_error(
            "G804", word_label(source, info.dtype), f"torch has no dtype '{info.dtype}'", suggestion=meant
        )
    elements = 1
    for size in info.shape:
        elements *= size
    if elements > MAX_INPUT_ELEMENTS:
        raise_capture_error("G804", word_label(source, form), f"{form} is larger than any batch")
    return info


def override_inputs(
    model: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], options: Sequence[InputOption]
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
    for one in sorted(options, key=lambda one: (not one.name.isdigit(), len(one.name), one.name)):
        made = meta_tensor(one.info)
        if one.name.isdigit():
            place = int(one.name)
            if place > len(places):
                raise_capture_error(
                    "G804",
                    word_label(one.source, one.name),
                    f"there is no input {len(places)} before input {place}",
                )
            places[place : place + 1] = [made]
        elif one.name in words or is_open:
            if one.name in words[: len(places)]:
                places[words.index(one.name)] = made
            else:
                named[one.name] = made
        else:
            raise_capture_error(
                "G804",
                word_label(one.source, one.name),
                f"{type(model).__name__} takes no input '{one.name}'",
                f"needed: one of {', '.join(words)}",
                suggestion=closest_name(one.name, words),
            )
    return tuple(places), named


def check_signature(
    model: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], source: Source
) -> None:
    """Refuse a call that forward's signature does not take.

    Raises:
        CaptureFault: as said.
    """
    try:
        inspect.signature(model.forward).bind(*arguments, **keywords)
    except TypeError as bad:
        raise_capture_error(
            "G804",
            word_label(source),
            f"{type(model).__name__} cannot be called so: {bad}",
            "help: give its inputs with --input NAME=DTYPE[d0,d1,...]",
        )


def meta_tensor(info: TensorInfo) -> torch.Tensor:
    """A tensor of that form, without numbers."""
    dtype: torch.dtype = getattr(torch, info.dtype)
    return torch.empty(info.shape, dtype=dtype, device="meta")
