"""Names of parameters as the user's model has them, without those of wrappers."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.optim import Optimizer

from planc.ir.errors import WeightsError
from planc.torch.compat import WRAPPER_ATTRIBUTES


def strip_wrappers(name: str) -> str:
    """A dotted name without the parts that wrappers add."""
    return ".".join(part for part in name.split(".") if part not in WRAPPER_ATTRIBUTES)


def names_by_param_id(model: nn.Module) -> dict[int, tuple[str, ...]]:
    """All names of each parameter, by its `id`; a tied parameter has several."""
    reshard_all(model)
    names: dict[int, tuple[str, ...]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names[id(parameter)] = (*names.get(id(parameter), ()), strip_wrappers(name))
    return names


def reshard_all(model: nn.Module) -> None:
    """Have FSDP2 put sharded parameters back into all modules. After a forward pass without a backward pass some
    modules hold unsharded ones, which no optimizer knows."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def optimizer_param_names(model: nn.Module, optimizer: Optimizer) -> list[tuple[str, ...]]:
    """All names of each of an optimizer's parameters, in its order.

    Raises:
        WeightsError: the optimizer has parameters that the model does not have.
    """
    names = names_by_param_id(model)
    params = optimizer_params(optimizer)
    unknown = [number for number, param in enumerate(params) if id(param) not in names]
    if unknown:
        raise WeightsError(
            f"{type(optimizer).__name__} has {len(unknown)} of {len(params)} parameters that "
            f"{type(model).__name__} does not have: make the optimizer after the model is split",
            [f"number {number}, of shape {tuple(params[number].shape)}" for number in unknown],
        )
    return [names[id(param)] for param in params]


def optimizer_params(optimizer: Optimizer) -> list[Tensor]:
    """An optimizer's parameters, in the order in which state dicts number them."""
    groups: Iterable[dict[str, list[Tensor]]] = optimizer.param_groups
    return [param for group in groups for param in group["params"]]
