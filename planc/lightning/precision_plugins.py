"""What Lightning's precision plugins do to gradients, right on split ones."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from lightning.pytorch.plugins.precision import Precision
from torch.optim import Optimizer

from planc.torch.train.grad_norm import clip_grad_norm, clip_grad_value
from planc.torch.train.grad_scaler import ShardedGradScaler


def use_sharded_clipping(plugin: Precision) -> None:
    """Let a plugin clip and unscale what is split over meshes, and what is not, as one model's gradients."""
    # Not a class of its own: the plugin is the user's, or one that the Trainer chose.
    held: Any = plugin
    held.clip_grad_by_norm = MethodType(_clip_by_norm, plugin)
    held.clip_grad_by_value = MethodType(_clip_by_value, plugin)
    use_synced_scaler(plugin)


def use_synced_scaler(plugin: Any) -> None:
    """Give a plugin that scales losses a scaler that has one answer on all ranks."""
    given = getattr(plugin, "scaler", None)
    if type(given) is torch.amp.GradScaler:
        settings: dict[str, Any] = {
            "init_scale": given.get_scale(),
            "growth_factor": given.get_growth_factor(),
            "backoff_factor": given.get_backoff_factor(),
            "growth_interval": given.get_growth_interval(),
        }
        plugin.scaler = ShardedGradScaler(given._device, enabled=given.is_enabled(), **settings)


def _clip_by_norm(plugin: Precision, optimizer: Optimizer, clip_val: float) -> None:
    clip_grad_norm(plugin.main_params(optimizer), clip_val)


def _clip_by_value(plugin: Precision, optimizer: Optimizer, clip_val: float) -> None:
    clip_grad_value(plugin.main_params(optimizer), clip_val)
