"""Trained parameters that no plan covers."""

from __future__ import annotations

from torch import nn
from torch.distributed.tensor import DTensor


def uncovered_params_error(model: nn.Module, covered: str, data_ranks: int) -> str | None:
    """Why a model cannot be trained with a plan for one of its submodules; None: it can.

    Nothing reduces the gradients of plain parameters over the data axes: the ranks would silently drift apart.
    Gradients of DTensors are reduced by the code that made the DTensors.

    Args:
        covered: the name of the submodule that the plan is for, whether it is applied yet or not; empty: the
            model itself.
        data_ranks: how many ranks have batches of their own.
    """
    if not covered or data_ranks < 2:
        return None
    inside = {id(parameter) for parameter in model.get_submodule(covered).parameters()}
    uncovered = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and id(parameter) not in inside and not isinstance(parameter, DTensor)
    ]
    if not uncovered:
        return None
    return (
        f"{len(uncovered)} trained parameter{'s' * (len(uncovered) > 1)} outside of '{covered}', which the plan covers, "
        f"would drift apart on {data_ranks} data ranks: {', '.join(uncovered)}. needed: a plan that covers them, "
        "requires_grad_(False), or fully_shard around them before the plan is applied"
    )
