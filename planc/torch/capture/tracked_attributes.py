"""Replaces the plain integers of modules by tracked ones."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from planc.graph.codec import MAX_NUMBER
from planc.ir.graph import SymNumber
from planc.torch.capture.tracked_arithmetic import TrackedInt
from planc.torch.capture.tracked_sizes import SizeUseLog

_TRACKED_IN_TORCH = ("num_heads", "head_dim", "embed_dim", "normalized_shape", "num_groups", "groups")
"""The attributes of torch's own modules that are tracked; their others go to C code."""


def track_attributes(model: nn.Module, log: SizeUseLog) -> None:
    """Replace every integer of every module and of its configuration. Afterwards the model is good for a capture only.

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
            module.__dict__["config"] = _tracked_config(config, name, log)


def _tracked_config(config: Any, name: str, log: SizeUseLog) -> Any:
    """A copy of a configuration for one module: its numbers name that module."""
    tracked = copy.copy(config)
    for key, value in list(tracked.__dict__.items()):
        if not key.startswith("_"):
            tracked.__dict__[key] = _tracked(value, f"/{name}:config.{key}", log)
    return tracked


def _tracked(value: Any, name: str, log: SizeUseLog) -> Any:
    if type(value) is int and abs(value) < MAX_NUMBER:
        return TrackedInt(value, SymNumber("attribute", (name,), value), log)
    if type(value) in (list, tuple):
        return type(value)(
            [_tracked(part, f"{name}.{index}", log) if type(part) is int else part
             for index, part in enumerate(value)]
        )  # fmt: skip
    return value
