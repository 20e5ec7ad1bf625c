"""Turns the tensors of a model into fake ones: they have a shape and no numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.tree import fold, rebuild_changed
from planc.torch.compat import MODULE_TABLES, FakeTensor, own_buffers, own_parameters

_NODES = (list, tuple, dict)
_MAX_DEPTH = 4


def _is_kept(node: Any, depth: int) -> bool:
    """Whether a container stays as it is, since it has a class of its own or stands too deep."""
    return depth >= _MAX_DEPTH or type(node) not in _NODES


class ModelFaker:
    """Makes fake tensors; one that is found twice is made once, so that ties stay."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Tensor, Tensor]] = {}
        self.weights_in_attributes: dict[int, Tensor] = {}
        """Weights, by the identity of tensors that plain attributes hold of them."""

    def fake_model(self, model: nn.Module) -> None:
        """Replace all tensors that modules hold: parameters, buffers, and plain attributes.

        A weight that a plain attribute holds too, alone or in a list, is another tensor there: a
        split model has other parameters, and knows of no such attribute.
        """
        for module in model.modules():
            tables: Any = (own_parameters(module), own_buffers(module))
            for table in tables:
                for name, tensor in list(table.items()):
                    if tensor is not None:
                        table[name] = self.fake_tensor(tensor)
        weights, self._made = self._made, {}
        self._attributes(model)
        for key, (_, made) in self._made.items():
            if key in weights:
                self.weights_in_attributes[id(made)] = weights[key][1]

    def _attributes(self, model: nn.Module) -> None:
        for module in model.modules():
            for name, value in list(module.__dict__.items()):
                if name not in MODULE_TABLES:
                    changed = self.fake_item(value)
                    if changed is not value:
                        module.__dict__[name] = changed

    def fake_item(self, item: Any) -> Any:
        """An attribute or an argument with fake tensors in place of those that it holds."""
        return fold(item, self._fake_leaf, rebuild_changed, into=_NODES, is_leaf=_is_kept)

    def _fake_leaf(self, item: Any) -> Any:
        return self.fake_tensor(item) if isinstance(item, Tensor) else item

    def fake_tensor(self, tensor: Tensor) -> Tensor:
        """The fake of a tensor."""
        if id(tensor) not in self._made:
            strides = tensor.stride() if tensor.layout is torch.strided else None
            if strides is None:
                raise TypeError(f"a tensor of layout {tensor.layout} is not supported")
            if overrides_dispatch(type(tensor)):
                raise TypeError(
                    f"a {type(tensor).__name__} is not supported: it decides what operations on it do"
                )
            made = torch.empty_strided(tuple(tensor.shape), strides, dtype=tensor.dtype)
            if isinstance(tensor, nn.Parameter):
                made = nn.Parameter(made, requires_grad=tensor.requires_grad)
            elif tensor.requires_grad:
                made.requires_grad_()
            # The original is kept: its identity must not go to another one.
            self._made[id(tensor)] = tensor, made
        return self._made[id(tensor)][1]


def overrides_dispatch(kind: type[Tensor]) -> bool:
    """Whether tensors of a class do something of their own where an operation is called."""
    torchs: Any = (Tensor, nn.Parameter)
    if issubclass(kind, FakeTensor):
        return False
    return any(
        getattr(kind, name) not in [getattr(one, name) for one in torchs]
        for name in ("__torch_function__", "__torch_dispatch__")
    )
