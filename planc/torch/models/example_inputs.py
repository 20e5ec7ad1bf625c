"""The inputs that a model is captured with: those of a factory, changed by `--input`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import nn

from planc.closest import closest_name
from planc.graph.capture_error import raise_capture_error, word_label
from planc.graph.codec import GraphFormatError, decode_tensor_info, encode_tensor_info
from planc.graph.safe_reference import INPUT_FLAG
from planc.ir.graph import TensorInfo
from planc.ir.record import Record
from planc.ir.source import Source

MAX_INPUT_ELEMENTS = 1 << 40
_REPLACED = {"inputs_embeds": "input_ids", "decoder_inputs_embeds": "decoder_input_ids"}
"""Inputs of transformers that stand for another one, which must not be there then."""


class InputOption(Record):
    """One `--input NAME=DTYPE[d0,d1,...]`; a star behind it says that the input needs a gradient."""

    source: Source
    name: str
    """The name of an argument of forward, or its position."""
    info: TensorInfo

    @property
    def text(self) -> str:
        """The option in one spelling."""
        return f"{self.name}={encode_tensor_info(self.info)}"


def parse_input_options(options: Sequence[str]) -> tuple[InputOption, ...]:
    """Parse the texts of `--input`.

    Raises:
        CaptureError: a text is malformed, or names an input a second time.
    """
    parsed: dict[str, InputOption] = {}
    for text in options:
        source = Source(INPUT_FLAG, text)
        name, equal, form = text.partition("=")
        name = name.strip()
        if not equal or not (name.isidentifier() or (name.isascii() and name.isdigit())):
            raise_capture_error(
                "G804", word_label(source), f"not an input: {text!r}", "needed: NAME=DTYPE[d0,d1,...]"
            )
        if name in parsed:
            raise_capture_error("G804", word_label(source, name), f"'{name}' is given twice")
        parsed[name] = InputOption(source, name, _parse_tensor(source, form.strip()))
    return tuple(parsed.values())


def _parse_tensor(source: Source, form: str) -> TensorInfo:
    try:
        info = decode_tensor_info(form)
    except GraphFormatError:
        info = None
    label = word_label(source, form)
    if info is None or "[" not in form or (info.grad and not info.is_floating):
        raise_capture_error(
            "G804", label, f"not a tensor: {form!r}", "needed: DTYPE[d0,d1,...], such as int64[4,384]"
        )
    dtypes = sorted(name for name in dir(torch) if isinstance(getattr(torch, name), torch.dtype))
    if info.dtype not in dtypes:
        raise_capture_error(
            "G804",
            word_label(source, info.dtype),
            f"torch has no dtype '{info.dtype}'",
            suggestion=closest_name(info.dtype, dtypes),
        )
    if prod(info.shape) > MAX_INPUT_ELEMENTS:
        raise_capture_error("G804", label, f"{form} is larger than any batch")
    return info


def override_inputs(
    model: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], options: Sequence[InputOption]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments and keywords of a call, with the inputs that the user sets.

    Raises:
        CaptureError: the model's forward has no input of a name, or a position is left out.
    """
    parameters = inspect.signature(model.forward).parameters.values()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    # Models of transformers accept any keyword, and ignore most.
    takes_any = not hasattr(model, "main_input_name") and any(p.kind is p.VAR_KEYWORD for p in parameters)
    positional, by_name = list(arguments), dict(keywords)
    for option in sorted(options, key=lambda one: (not one.name.isdigit(), len(one.name), one.name)):
        label, tensor = word_label(option.source, option.name), meta_tensor(option.info)
        if option.name.isdigit():
            position = int(option.name)
            if position > len(positional):
                raise_capture_error(
                    "G804", label, f"there is no input {len(positional)} before input {position}"
                )
            positional[position : position + 1] = [tensor]
        elif option.name in names[: len(positional)]:
            positional[names.index(option.name)] = tensor
        elif option.name in names or takes_any:
            by_name[option.name] = tensor
            by_name.pop(_REPLACED.get(option.name, ""), None)
        else:
            raise_capture_error(
                "G804",
                label,
                f"{type(model).__name__} takes no input '{option.name}'",
                f"needed: one of {', '.join(names)}",
                suggestion=closest_name(option.name, names),
            )
    return tuple(positional), by_name


def check_signature(
    model: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], source: Source
) -> None:
    """Check that the model's forward accepts a call.

    Raises:
        CaptureError: it does not.
    """
    try:
        inspect.signature(model.forward).bind(*arguments, **keywords)
    except TypeError as bad:
        raise_capture_error(
            "G804",
            word_label(source),
            f"the forward of {type(model).__name__} does not accept these inputs: {bad}",
            "help: give its inputs with --input NAME=DTYPE[d0,d1,...]",
        )


def meta_tensor(info: TensorInfo) -> torch.Tensor:
    """A tensor of this shape and dtype on the meta device, which needs a gradient if the plan has to say so."""
    dtype: torch.dtype = getattr(torch, info.dtype)
    return torch.empty(info.shape, dtype=dtype, device="meta", requires_grad=info.grad)
