"""What recomputed regions keep for the backward pass, by hooks on saved tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.distributed.device_mesh import init_device_mesh
from torch.utils._pytree import tree_leaves

import planc
from tests.judge.compare import build_family
from tests.judge.families import FAMILIES
from tests.torch.apply.ranks.compiled import compile_enabled
from tests.torch.apply.ranks.models import example_inputs

INNER = 80
"""The features of the inside of an MLP that one of two ranks has: no other dim has this size."""


class SavedTensors:
    """Collects what autograd saves while blocks run: all but their arguments, their parameters and the states of
    generators of random numbers."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        self.shapes: list[list[int]] = []
        self._known: set[int] | None = None
        self._tensors: list[Tensor] = []
        """Their storages are not freed, and so not used for other tensors, while this object lives."""
        for block in blocks:
            block.register_forward_pre_hook(self._begin, with_kwargs=True)
            block.register_forward_hook(self._end)

    def _begin(self, block: nn.Module, args: Any, kwargs: Any) -> None:
        tensors = [
            getattr(each, "_local_tensor", each)
            for each in (*tree_leaves((args, kwargs)), *block.parameters())
        ]
        self._known = {_storage(each) for each in tensors if isinstance(each, Tensor)}

    def _end(self, *_: Any) -> None:
        self._known = None

    def pack(self, tensor: Tensor) -> Tensor:
        # An empty tensor has no memory: torch 2.11 saves one in place of what it runs again.
        is_state = tensor.dtype == torch.uint8 or not tensor.numel()
        if self._known is not None and not is_state and _storage(tensor) not in self._known:
            self.shapes.append(list(tensor.shape))
            self._tensors.append(tensor)
        return tensor


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def saved_by_blocks(recompute: str, compiles: bool) -> list[list[int]]:
    """The shapes of what the blocks of a Llama on two ranks keep, besides their arguments.

    Args:
        recompute: the line of `recompute`; '': there is none.
        compiles: whether blocks are compiled.
    """
    made = FAMILIES["llama"]
    model = build_family(made.model, made.settings | {"intermediate_size": 2 * INNER})[0].float()
    mesh = init_device_mesh("cpu", (1, 2), mesh_dim_names=("dp", "tp"))
    compiled = "backend: planc_counted, fullgraph: true" if compiles else "remove block"
    lines = f"plan small\nextends llama\ncompile {{\n{compiled}\n}}\nrecompute {{\nremove block\n{recompute}\n}}\n"
    with compile_enabled():
        planc.parallelize(model, planc.parse(lines), mesh)
        saved = SavedTensors(list(model.model.layers))
        with saved_tensors_hooks(saved.pack, lambda x: x):
            logits = model(**example_inputs("llama"), use_cache=False).logits
        logits.local.square().sum().backward()
    return saved.shapes
