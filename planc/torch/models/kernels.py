"""Kernels that a model of transformers computes attention and experts with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from planc.closest import closest_name
from planc.graph.capture_error import raise_capture_error, word_label
from planc.ir.record import Record
from planc.ir.source import Source
from planc.torch.models import compat


class KernelSetting(Record):
    """A setting of a reference that chooses a kernel; a configuration does not list it."""

    choose: Callable[[Any, str], None]
    known: tuple[str, ...]
    """The kernels that fake tensors can follow."""


KERNEL_SETTINGS: Mapping[str, KernelSetting] = {
    "attn_implementation": KernelSetting(compat.use_attention, ("sdpa", "eager")),
    "experts_implementation": KernelSetting(compat.use_experts, ("batched_mm", "eager")),
}


def choose_kernels(config: Any, settings: Mapping[str, str], source: Source) -> None:
    """Choose the kernels of a configuration: those of the settings. Without one, experts are batched, and transformers
    itself chooses attention: `sdpa` where a class has it, else `eager`.

    Raises:
        CaptureError: a setting names a kernel that planc cannot capture, or that the class does not have.
    """
    with contextlib.suppress(AttributeError, ValueError):
        compat.use_experts(config, "batched_mm")
    for name, value in settings.items():
        row = KERNEL_SETTINGS[name]
        label = word_label(source, f"{name}={value}")
        if value not in row.known:
            raise_capture_error(
                "G803",
                label,
                f"planc cannot capture '{value}'",
                f"needed: {name}={' or '.join(row.known)}",
                suggestion=closest_name(value, row.known),
            )
        try:
            row.choose(config, value)
        except (AttributeError, ValueError) as raised:
            raise_capture_error("G803", label, f"{type(config).__name__} has no {name}", f"raised: {raised}")


def use_traceable_kernels(model: nn.Module) -> None:
    """Choose kernels that fake tensors can follow, in all configurations of a model that is built already: kernels such
    as flash attention compute what `sdpa` does, and cannot run without a GPU."""
    for module in model.modules():
        config: Any = getattr(module, "config", None)
        if not hasattr(config, "to_dict"):
            continue
        if compat.attention_of(config) not in (None, *KERNEL_SETTINGS["attn_implementation"].known):
            compat.use_attention(config, "sdpa" if compat.has_sdpa(module) else "eager")
        with contextlib.suppress(AttributeError, ValueError):
            compat.use_experts(config, "batched_mm")


__all__ = ["KERNEL_SETTINGS", "choose_kernels", "use_traceable_kernels"]
