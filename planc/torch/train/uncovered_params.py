"""Parameters that are trained and that no plan covers."""

from __future__ import annotations

from torch import nn
from torch.distributed.tensor import DTensor


def uncovered_params_error(model: nn.Module, covered: str, data_ranks: int) -> str | None:
    """Why a model cannot be trained with a plan of one of its submodules, or None.

    Nothing reduces the gradients of plain parameters over the data axes: the ranks would drift apart
    without a word. DTensors are split, or reduced, by who made them.

    Args:
        covered: the name of the submodule that the plan is applied to, before or after; empty: all.
        data_ranks: how many ranks have batches of their own.
    """
    if not covered or data_ranks < 2:
        return None
    inside = {id(parameter) for parameter in model.get_submodule(covered).parameters()}
    left = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and id(parameter) not in inside and not isinstance(parameter, DTensor)
    ]
    if not left:
        return None
    return (
        f"{len(left)} trained parameter{'s' * (len(left) > 1)} outside of '{covered}', which the plan covers, "
        f"would drift apart on {data_ranks} data ranks: {', '.join(left)}. needed: a plan that covers them, "
        "requires_grad_(False), or fully_shard around them before the plan is applied"
    )
