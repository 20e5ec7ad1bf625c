"""Replaces the plain integers of modules by tracked ones."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from torch import nn

from planc.graph.codec import MAX_NUMBER
from planc.ir.graph import SymNumber
from planc.torch.capture.tracked_arithmetic import TrackedInt
from planc.torch.capture.tracked_sizes import SizeUseLog

_TRACKED_IN_TORCH = ("num_heads", "head_dim", "embed_dim", "normalized_shape", "num_groups", "groups")
"""The attributes of torch's own modules that are tracked; their others go to C code."""
_PLAIN = (int, float, str, bool, type(None))


def track_attributes(model: nn.Module, log: SizeUseLog) -> None:
    """Replace every integer of every module, also in lists, tuples, dictionaries and frozen dataclasses of plain values, and
    in its configuration. Afterwards the model is good for a capture only.

    Args:
        model: the model.
        log: where the numbers record their uses.
    """
    for name, module in model.named_modules():
        is_torchs = type(module).__module__.startswith("torch.nn.")
        for key, value in list(module.__dict__.items()):
            if not key.startswith("_") and (not is_torchs or key in _TRACKED_IN_TORCH):
                module.__dict__[key] = _tracked(value, f"/{name}:{key}", log)
        config = module.__dict__.get("config")
        if config is not None and hasattr(config, "__dict__") and not isinstance(config, type | nn.Module):
            module.__dict__["config"] = _tracked_object(config, config.__dict__, f"/{name}:config", log)


def _tracked(value: Any, name: str, log: SizeUseLog) -> Any:
    """A number with its origin. A container or a record gets a copy whose numbers name the module that holds it;
    one without numbers stays the same object."""
    if type(value) is int and abs(value) < MAX_NUMBER:
        return TrackedInt(value, SymNumber("attribute", (name,), value), log)
    if type(value) in _PLAIN or not _holds_numbers(value):
        return value
    if isinstance(value, list | tuple):
        names = getattr(value, "_fields", range(len(value)))
        parts = [_tracked_number(part, f"{name}.{key}", log) for key, part in zip(names, value, strict=True)]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {key: _tracked_number(part, f"{name}.{key}", log) for key, part in value.items()}
    return _tracked_object(
        value, {field.name: getattr(value, field.name) for field in fields(value)}, name, log
    )


def _tracked_number(value: Any, name: str, log: SizeUseLog) -> Any:
    return _tracked(value, name, log) if type(value) is int else value


def _tracked_object(holder: Any, values: dict[str, Any], name: str, log: SizeUseLog) -> Any:
    tracked = copy.copy(holder)
    for key, value in list(values.items()):
        if not key.startswith("_"):
            object.__setattr__(tracked, key, _tracked(value, f"{name}.{key}", log))
    return tracked


def _holds_numbers(value: Any) -> bool:
    """Whether a list, a tuple, a dictionary or a frozen dataclass holds integers. In a dictionary all else is plain:
    code may share one that it changes."""
    if type(value) is list or (
        isinstance(value, tuple) and (type(value) is tuple or hasattr(value, "_fields"))
    ):
        return any(type(part) is int for part in value)
    if type(value) is dict:
        is_plain = all(
            type(key) is str and key.isidentifier() and type(part) in _PLAIN for key, part in value.items()
        )
        return is_plain and any(type(part) is int for part in value.values())
    parameters = getattr(type(value), "__dataclass_params__", None)
    return parameters is not None and parameters.frozen and any(_numbers_in(value))


def _numbers_in(record: Any) -> Iterator[bool]:
    for field in fields(record):
        value = getattr(record, field.name, None)
        yield type(value) is int or (value is not record and _holds_numbers(value))
