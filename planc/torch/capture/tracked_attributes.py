"""Puts numbers with an origin in the place of the plain ones that modules hold."""

from __future__ import annotations

import copy
from typing import Any

from torch import nn

from planc.ir.graph import SymNumber
from planc.torch.capture.tracked_arithmetic import TrackedInt
from planc.torch.capture.tracked_sizes import SizeUseLog

_OF_TORCH = ("num_heads", "head_dim", "embed_dim", "normalized_shape", "num_groups", "groups")
"""What is tracked in torch's own modules: their other numbers are for C code."""


def track_attributes(model: nn.Module, log: SizeUseLog) -> None:
    """Replace every int of every module and of its configuration. The model is not to be
    used for anything but a capture afterwards."""
    for name, module in model.named_modules():
        of_torch = type(module).__module__.startswith("torch.nn.")
        for key, value in list(module.__dict__.items()):
            if not key.startswith("_") and (not of_torch or key in _OF_TORCH):
                module.__dict__[key] = _tracked(value, f"/{name}:{key}", log)
        config = module.__dict__.get("config")
        if config is not None and hasattr(config, "__dict__") and not isinstance(config, type | nn.Module):
            module.__dict__["config"] = _configuration(config, name, log)


def _configuration(config: Any, name: str, journal: SizeUseLog) -> Any:
    """A copy for this module alone, as its numbers say whose they are."""
    own = copy.copy(config)
    for key, value in list(own.__dict__.items()):
        if not key.startswith("_"):
            own.__dict__[key] = _tracked(value, f"/{name}:config.{key}", journal)
    return own


def _tracked(value: Any, name: str, journal: SizeUseLog) -> Any:
    if type(value) is int and abs(value) < 1 << 62:
        return TrackedInt(value, SymNumber("attribute", (name,), value), journal)
    if type(value) in (list, tuple):
        return type(value)(
            [_tracked(part, f"{name}.{place}", journal) if type(part) is int else part
             for place, part in enumerate(value)]
        )  # fmt: skip
    return value
