"""`save_pretrained` of a split model of transformers: it writes the files of the unsplit model."""

from __future__ import annotations

from functools import partial
from types import MethodType
from typing import Any

from torch import nn
from torch.distributed.tensor import DTensor

from planc.torch.checkpoints.rank_sync import run_on_rank_zero
from planc.torch.checkpoints.state_dicts import model_state_dict


def save_full_weights(model: nn.Module) -> None:
    """Let `save_pretrained` of a model, and of models of transformers inside of it, write full weights. Other models stay
    as they are, and so does one of which nothing is split."""
    if not any(isinstance(param, DTensor) for param in model.parameters()):
        return
    for module in model.modules():
        if hasattr(type(module), "save_pretrained") and hasattr(type(module), "config_class"):
            vars(module)["save_pretrained"] = MethodType(_save_pretrained, module)


def _save_pretrained(model: Any, save_directory: Any, *args: Any, **kwargs: Any) -> Any:
    """As the method of transformers. All ranks call this; rank 0 gathers one tensor after another, and writes."""
    save = partial(type(model).save_pretrained, model, save_directory, *args)
    if args or kwargs.get("state_dict") is not None:
        return save(**kwargs)  # the caller has gathered the weights, or says which rank writes
    full = {**kwargs, "state_dict": model_state_dict(model, full=True)}
    return run_on_rank_zero(lambda: save(**full))
