"""What a part of a model is called with, where the inputs of the whole model are known."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.tree import map_leaves
from planc.torch.models.meta_copy import meta_copy


class _Reached(Exception):  # no error: the part was called
    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        self.args_of_part, self.kwargs_of_part = args, kwargs


def inputs_of_part(model: nn.Module, part: str, inputs: Any) -> tuple[Any, ...] | dict[str, Any] | None:
    """The example inputs of a submodule: a copy of the model runs on the meta device until it calls that.

    Args:
        model: the model; it is not changed.
        part: the name of the submodule.
        inputs: the model's example inputs: a tensor, a sequence, or a mapping by keyword.

    Returns:
        Arguments by position, or all by name; None: the model does not reach the submodule on the meta device.
    """
    copied = meta_copy(model)
    target = copied.get_submodule(part)

    def stop(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        raise _Reached(args, kwargs)

    target.register_forward_pre_hook(stop, with_kwargs=True, prepend=True)
    inputs = map_leaves(inputs, Tensor, lambda tensor: tensor.detach().to("meta"))
    args = () if isinstance(inputs, Mapping) else (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    kwargs = dict(inputs) if isinstance(inputs, Mapping) else {}
    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")
            copied(*args, **kwargs)
    except _Reached as reached:
        return _as_inputs(target, reached.args_of_part, reached.kwargs_of_part)
    except Exception:  # noqa: BLE001  # the user's code may need values; then the user gives the inputs
        return None
    return None


def _as_inputs(
    target: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, ...] | dict[str, Any]:
    """Arguments that tensors outside of the submodule have made, with whether they need a gradient."""

    def free(tensor: Tensor) -> Tensor:
        return tensor.detach().requires_grad_(tensor.requires_grad)

    args, kwargs = map_leaves((args, kwargs), Tensor, free)
    return args if not kwargs else dict(inspect.signature(target.forward).bind(*args, **kwargs).arguments)
