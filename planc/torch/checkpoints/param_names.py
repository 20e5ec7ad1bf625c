"""Names of parameters as the model itself has them, without what wrappers put in between."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.optim import Optimizer

from planc.ir.errors import WeightsError

_WRAPPERS = frozenset({"_orig_mod", "_checkpoint_wrapped_module"})
"""What `torch.compile(module)` and `checkpoint_wrapper(module)` call the module inside."""


def strip_wrappers(name: str) -> str:
    """A dotted name without wrappers."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def names_by_param_id(model: nn.Module) -> dict[int, tuple[str, ...]]:
    """All names of each parameter, by its identity; a tied one has several."""
    reshard_all(model)
    found: dict[int, tuple[str, ...]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        found[id(parameter)] = (*found.get(id(parameter), ()), strip_wrappers(name))
    return found


def reshard_all(model: nn.Module) -> None:
    """Have FSDP2 put its sharded parameters back: after a forward pass without a backward pass some
    modules hold the gathered ones, which no optimizer knows."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def optimizer_param_names(model: nn.Module, optimizer: Optimizer) -> list[tuple[str, ...]]:
    """The names of an optimizer's parameters, in its order.

    Raises:
        WeightsError: some are no parameters of the model.
    """
    known = names_by_param_id(model)
    parameters = optimizer_params(optimizer)
    strange = [number for number, parameter in enumerate(parameters) if id(parameter) not in known]
    if strange:
        raise WeightsError(
            f"{type(optimizer).__name__} has {len(strange)} of {len(parameters)} parameters that "
            f"{type(model).__name__} does not have: make the optimizer after the model is split",
            [f"number {number}, of shape {tuple(parameters[number].shape)}" for number in strange],
        )
    return [known[id(parameter)] for parameter in parameters]


def optimizer_params(optimizer: Optimizer) -> list[Tensor]:
    """An optimizer's parameters: their places here are the numbers that state dicts call them by."""
    groups: Iterable[dict[str, list[Tensor]]] = optimizer.param_groups
    return [parameter for group in groups for parameter in group["params"]]
