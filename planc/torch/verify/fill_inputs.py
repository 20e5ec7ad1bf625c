"""Numbers for inputs of which only the shapes are known."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from planc.ir.tree import map_leaves
from planc.torch.models.example_values import token_ids

TOKEN_INPUTS = frozenset({"input_ids", "decoder_input_ids"})


def fill_inputs(
    args: tuple[Any, ...], kwargs: dict[str, Any], config: Any, seed: int
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments and keywords of a call with random numbers in place of tensors on the meta device.

    Args:
        config: the configuration of a model of transformers, or None.
        seed: of the numbers.
    """
    generator = torch.Generator().manual_seed(seed + 2)

    def fill(name: str, item: Any) -> Any:
        return map_leaves(item, Tensor, lambda tensor: _filled(name, tensor, config, generator))

    filled = tuple([fill(str(index), item) for index, item in enumerate(args)])
    return filled, {name: fill(name, item) for name, item in kwargs.items()}


def _filled(name: str, tensor: Tensor, config: Any, generator: torch.Generator) -> Tensor:
    shape = tuple(tensor.shape)
    if tensor.device.type != "meta":
        return tensor
    if tensor.is_floating_point() or tensor.is_complex():
        made = torch.randn(shape, generator=generator, dtype=tensor.dtype)
        return made.requires_grad_(tensor.requires_grad)
    if name.endswith("mask") or tensor.dtype == torch.bool:
        return torch.ones(shape, dtype=tensor.dtype)
    is_token = config is not None and name in TOKEN_INPUTS
    numbers = token_ids(config) if is_token else torch.arange(2)
    return numbers[torch.randint(0, len(numbers), shape, generator=generator)].to(tensor.dtype)
