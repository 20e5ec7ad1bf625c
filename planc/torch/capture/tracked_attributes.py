"""Replaces the plain integers of modules by tracked ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from types import FunctionType
from typing import Any

import torch
from torch import nn

from planc.graph.codec import MAX_NUMBER
from planc.ir.graph import SymNumber
from planc.torch.capture.settings_writes import copy_settings
from planc.torch.capture.tracked_arithmetic import TrackedInt
from planc.torch.capture.tracked_sizes import SizeUseLog
from planc.torch.models.record_fields import SETTINGS_NAMES, is_frozen, is_record, record_fields

_TRACKED_IN_TORCH = ("num_heads", "head_dim", "embed_dim", "normalized_shape", "num_groups", "groups")
"""The attributes of torch's own modules that are tracked; their others go to C code."""
_PLAIN = (int, float, str, bool, type(None))
_CONSTANTS = (torch.dtype, torch.device, Enum)
_MAX_DEPTH = 4
"""Levels of objects within objects whose numbers are tracked."""


def track_attributes(model: nn.Module, log: SizeUseLog) -> dict[int, Any]:
    """Replace every integer of every module, also in lists, tuples, dictionaries of plain values, and in the objects that hold
    its settings. Such an object is copied for each module that holds it: a plan may set the numbers of one alone. Afterwards
    the model is good for a capture only.

    Args:
        model: the model.
        log: where the numbers record their uses.

    Returns:
        the copies of objects, by identity.
    """
    copies: dict[int, Any] = {}
    for name, module in model.named_modules():
        is_torchs = type(module).__module__.startswith("torch.nn.")
        for key, value in list(module.__dict__.items()):
            if not key.startswith("_") and (not is_torchs or key in _TRACKED_IN_TORCH):
                tracker = _Tracker(log, copies)
                module.__dict__[key] = tracker.attribute(key, value, f"/{name}:{key}")
    return copies


class _Tracker:
    """Makes tracked numbers, and copies of what holds them."""

    def __init__(self, log: SizeUseLog, copies: dict[int, Any]) -> None:
        self.log, self.copies = log, copies

    def attribute(self, key: str, value: Any, name: str) -> Any:
        """The value of an attribute; one that settings usually have may be an object of any class."""
        is_settings = key in SETTINGS_NAMES and hasattr(value, "__dict__")
        if is_settings and not isinstance(value, type | nn.Module | Mapping):
            return self.record(value, name, _MAX_DEPTH)
        return self.value(value, name, _MAX_DEPTH)

    def value(self, value: Any, name: str, depth: int) -> Any:
        """A number with its origin. A container or a record gets a copy whose numbers name the module that holds it;
        one without numbers stays the same object."""
        if type(value) is int:
            return self._number(value, name)
        if type(value) in _PLAIN:
            return value
        if depth > 0 and _is_settings(value, depth):
            return self.record(value, name, depth)
        return self._container(value, name)

    def _number(self, value: Any, name: str) -> Any:
        if type(value) is not int or abs(value) >= MAX_NUMBER:
            return value
        return TrackedInt(value, SymNumber("attribute", (name,), value), self.log)

    def _container(self, value: Any, name: str) -> Any:
        """A list, a tuple or a dictionary. In a dictionary all is plain: code may share one that it changes."""
        if not _holds_numbers(value):
            return value
        if isinstance(value, dict):
            return {key: self._number(part, f"{name}.{key}") for key, part in value.items()}
        fields = getattr(value, "_fields", None)
        names = range(len(value)) if fields is None else fields
        parts = [self._number(part, f"{name}.{key}") for key, part in zip(names, value, strict=True)]
        return type(value)(parts) if fields is None else type(value)(*parts)

    def record(self, holder: Any, name: str, depth: int) -> Any:
        """A copy of an object with tracked numbers. The type's own code does not run: it may refuse them."""
        tracked = copy_settings(holder)
        for key, value in (record_fields(holder) or {}).items():
            object.__setattr__(tracked, key, self.value(value, f"{name}.{key}", depth - 1))
        self.copies[id(tracked)] = tracked
        return tracked


def _is_settings(value: Any, depth: int) -> bool:
    """Whether an object is a record of numbers. In one that code may change, all else is plain: it may be shared."""
    if not is_record(value):
        return False
    parts = list((record_fields(value) or {}).values())
    if not is_frozen(value) and not all(_is_constant(part, depth - 1) for part in parts):
        return False
    return _has_numbers(parts) or any(
        _holds_numbers(part) or (depth > 1 and _is_settings(part, depth - 1)) for part in parts
    )


def _is_constant(value: Any, depth: int) -> bool:
    """Whether a value is a constant, or holds nothing but constants: no tensor, no module, no other state."""
    if depth > 0 and is_record(value):
        return all(_is_constant(part, depth - 1) for part in (record_fields(value) or {}).values())
    return _is_plain(value)


def _is_plain(value: Any) -> bool:
    if type(value) is dict:
        return _is_plain_dict(value)
    if type(value) in (list, tuple):
        return all(type(part) in _PLAIN for part in value)
    return type(value) in _PLAIN or isinstance(value, (*_CONSTANTS, type, FunctionType))


def _is_plain_dict(value: dict[Any, Any]) -> bool:
    return all(
        type(key) is str and key.isidentifier() and type(part) in _PLAIN for key, part in value.items()
    )


def _holds_numbers(value: Any) -> bool:
    if type(value) is dict:
        return _is_plain_dict(value) and _has_numbers(value.values())
    is_sequence = type(value) in (list, tuple) or (isinstance(value, tuple) and hasattr(value, "_fields"))
    return is_sequence and _has_numbers(value)


def _has_numbers(parts: Iterable[Any]) -> bool:
    return any(type(part) is int for part in parts)
