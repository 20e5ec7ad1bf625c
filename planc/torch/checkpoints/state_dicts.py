"""The states of models and optimizers: with the names, shapes and order of the unsplit model."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from planc.torch.apply.full_tensor import full_tensor
from planc.torch.checkpoints.param_names import names_by_param_id, optimizer_param_names, strip_wrappers
from planc.torch.checkpoints.rank_sync import is_rank_zero
from planc.torch.checkpoints.tree import map_leaves

StateDict = dict[str, Any]


def model_state_dict(model: nn.Module, *, full: bool) -> StateDict:
    """A model's parameters, persistent buffers and extra states by name. All ranks must ask for it.

    Args:
        model: any model, split or not, compiled or not.
        full: give the first rank whole tensors of its own on the CPU, and the others nothing. They
            are gathered one by one: no other rank holds more than one whole tensor at a time.

    Returns:
        Tensors by name; where they are not full, the rank's own slices of them as DTensors, which share
        the memory of the model, except for fused parameters.
    """
    with torch.no_grad():
        shown = {strip_wrappers(name): value for name, value in model.state_dict().items()}
        return _gather_tied_once(model, shown) if full else shown


def optimizer_state_dict(model: nn.Module, optimizer: Optimizer, *, full: bool) -> StateDict:
    """What an optimizer holds. All ranks must ask for it.

    An optimizer that has not stepped has nothing yet, and is not made to step for this.

    Args:
        model: the model whose parameters the optimizer has, all or some.
        optimizer: torch's, or any that has its `state_dict`.
        full: give the first rank whole tensors of its own on the CPU, and the others nothing.

    Returns:
        `state` and `param_groups` as torch has them: by the numbers that the optimizer of an unsplit
        model gives its parameters, if full; by the names of the parameters, if not.

    Raises:
        WeightsError: a parameter of the optimizer is none of the model.
    """
    names = [several[0] for several in optimizer_param_names(model, optimizer)]
    with torch.no_grad():
        held = optimizer.state_dict()
        if full:
            # Every rank takes part, and only the first keeps something.
            whole = map_leaves(held, Tensor, _full_on_rank_zero)
            return dict(whole) if is_rank_zero() else {}
    named = {
        (names[key] if isinstance(key, int) else str(key)): copy(value)
        for key, value in held["state"].items()
    }
    groups = [
        {**group, "params": [names[number] for number in group["params"]]} for group in held["param_groups"]
    ]
    return {**held, "state": named, "param_groups": groups}


def copy_to_cpu(tree: Any) -> Any:
    """A copy on the CPU that later steps do not change; the rank's own slices of what is split."""
    return map_leaves(tree, Tensor, lambda tensor: tensor.detach().to("cpu", copy=True))


def _gather_tied_once(model: nn.Module, shown: Mapping[str, Any]) -> StateDict:
    """Whole tensors; tied ones are gathered once, and stay one in the file."""
    first = {name: names[0] for names in names_by_param_id(model).values() for name in names}
    gathered: StateDict = {}
    for name, value in shown.items():
        if first.get(name, name) not in gathered:
            gathered[first.get(name, name)] = map_leaves(value, Tensor, _full_on_rank_zero)
    return {name: gathered[first.get(name, name)] for name in shown} if is_rank_zero() else {}


def _full_on_rank_zero(tensor: Tensor) -> Tensor | None:
    value = full_tensor(tensor.detach())
    return value.to("cpu", copy=True) if is_rank_zero() else None
