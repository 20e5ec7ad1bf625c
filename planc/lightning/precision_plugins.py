"""Lightning's precision plugins, made right for gradients that are split."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from lightning.pytorch.plugins.precision import Precision
from torch.optim import Optimizer

from planc.torch.compat import grad_scaler_device
from planc.torch.train.grad_norm import clip_grad_norm, clip_grad_value
from planc.torch.train.grad_scaler import ShardedGradScaler


def use_sharded_clipping(plugin: Precision) -> None:
    """Have a plugin clip and unscale plain gradients and split ones, over any meshes, as those of one model."""
    # Methods of this one object: the plugin is the user's, or one that the Trainer chose.
    patched: Any = plugin
    patched.clip_grad_by_norm = MethodType(_clip_by_norm, plugin)
    patched.clip_grad_by_value = MethodType(_clip_by_value, plugin)
    use_synced_scaler(plugin)


def use_synced_scaler(plugin: Any) -> None:
    """Replace torch's GradScaler of a plugin by one that finds the same scale on all ranks."""
    scaler = getattr(plugin, "scaler", None)
    if type(scaler) is torch.amp.GradScaler:
        settings: dict[str, Any] = {
            "init_scale": scaler.get_scale(),
            "growth_factor": scaler.get_growth_factor(),
            "backoff_factor": scaler.get_backoff_factor(),
            "growth_interval": scaler.get_growth_interval(),
        }
        plugin.scaler = ShardedGradScaler(grad_scaler_device(scaler), enabled=scaler.is_enabled(), **settings)


def _clip_by_norm(plugin: Precision, optimizer: Optimizer, clip_val: float) -> None:
    clip_grad_norm(plugin.main_params(optimizer), clip_val)


def _clip_by_value(plugin: Precision, optimizer: Optimizer, clip_val: float) -> None:
    clip_grad_value(plugin.main_params(optimizer), clip_val)
