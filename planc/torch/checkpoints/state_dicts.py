"""State dicts of models and optimizers, with the names, shapes and order of the unsplit model."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from planc.ir.tree import map_leaves, with_dicts
from planc.torch.apply.full_tensor import full_tensor
from planc.torch.checkpoints.param_names import names_by_param_id, optimizer_param_names, strip_wrappers
from planc.torch.checkpoints.rank_sync import is_rank_zero

StateDict = dict[str, Any]


def model_state_dict(model: nn.Module, *, full: bool) -> StateDict:
    """A model's parameters, persistent buffers and extra states by name. All ranks call this.

    Args:
        model: any model, split or not, compiled or not.
        full: return full tensors on the CPU to rank 0, and nothing to the others. Tensors are gathered one
            by one: no other rank holds more than one full tensor at a time.

    Returns:
        Tensors by name, of the shapes of the unsplit model. Where they are not full, DTensors with this rank's
        slices, which share the model's memory, except for fused parameters.
    """
    with torch.no_grad():
        state = {strip_wrappers(name): value for name, value in model.state_dict().items()}
        return _gather_tied_once(model, state) if full else state


def optimizer_state_dict(model: nn.Module, optimizer: Optimizer, *, full: bool) -> StateDict:
    """The state of an optimizer. All ranks call this.

    An optimizer that has not stepped has no state yet, and is not made to step for this.

    Args:
        model: the model that has the optimizer's parameters, all or some.
        optimizer: torch's, or any with its `state_dict`.
        full: return full tensors on the CPU to rank 0, and nothing to the others.

    Returns:
        `state` and `param_groups` as torch has them: by the numbers that the optimizer of an unsplit
        model gives its parameters, if full; else by the names of the parameters.

    Raises:
        WeightsError: the optimizer has a parameter that the model does not have.
    """
    names = [tied[0] for tied in optimizer_param_names(model, optimizer)]
    with torch.no_grad():
        state_dict = optimizer.state_dict()
        if full:
            # Every rank takes part in gathering, and only rank 0 keeps the result.
            gathered = map_leaves(state_dict, Tensor, _full_on_rank_zero, combine=with_dicts)
            return dict(gathered) if is_rank_zero() else {}
    state = {
        (names[key] if isinstance(key, int) else str(key)): copy(value)
        for key, value in state_dict["state"].items()
    }
    groups = [
        {**group, "params": [names[number] for number in group["params"]]}
        for group in state_dict["param_groups"]
    ]
    return {**state_dict, "state": state, "param_groups": groups}


def copy_to_cpu(tree: Any) -> Any:
    """A copy on the CPU, which later steps do not change; of a DTensor this rank's slice."""
    return map_leaves(tree, Tensor, lambda tensor: tensor.detach().to("cpu", copy=True), combine=with_dicts)


def _gather_tied_once(model: nn.Module, state: Mapping[str, Any]) -> StateDict:
    """Full tensors; a tied one is gathered once, and the file has it once."""
    first_name = {name: names[0] for names in names_by_param_id(model).values() for name in names}
    gathered: StateDict = {}
    for name, value in state.items():
        first = first_name.get(name, name)
        if first not in gathered:
            gathered[first] = map_leaves(value, Tensor, _full_on_rank_zero, combine=with_dicts)
    return {name: gathered[first_name.get(name, name)] for name in state} if is_rank_zero() else {}


def _full_on_rank_zero(tensor: Tensor) -> Tensor | None:
    gathered = full_tensor(tensor.detach())
    return gathered.to("cpu", copy=True) if is_rank_zero() else None
