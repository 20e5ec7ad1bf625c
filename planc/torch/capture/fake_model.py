"""Replaces the tensors of a model by fake ones, which have a shape and no values."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.tree import rebuild_changed, transform
from planc.torch.compat import MODULE_TABLES, FakeTensor, own_buffers, own_parameters

_NODES = (list, tuple, dict)
_MAX_DEPTH = 4


def _is_kept(node: Any, depth: int) -> bool:
    """Whether a container stays as it is: it has another class, or is nested too deeply."""
    return depth >= _MAX_DEPTH or type(node) not in _NODES


class ModelFaker:
    """Makes one fake tensor for each tensor, so that ties stay."""

    def __init__(self) -> None:
        self._fakes: dict[int, tuple[Tensor, Tensor]] = {}
        self.weights_in_attributes: dict[int, Tensor] = {}
        """The weight of each fake tensor in a plain attribute whose original is a weight, by its identity."""

    def fake_model(self, model: nn.Module) -> None:
        """Replace all tensors of modules: parameters, buffers, and those in plain attributes.

        A weight that is also in a plain attribute, alone or in a list, becomes another tensor there: applying a plan
        replaces parameters, but not what such attributes hold.
        """
        for module in model.modules():
            tables: Any = (own_parameters(module), own_buffers(module))
            for table in tables:
                for name, tensor in list(table.items()):
                    if tensor is not None:
                        table[name] = self.fake_tensor(tensor)
        weights, self._fakes = self._fakes, {}
        self._fake_attributes(model)
        for key, (_, fake) in self._fakes.items():
            if key in weights:
                self.weights_in_attributes[id(fake)] = weights[key][1]

    def _fake_attributes(self, model: nn.Module) -> None:
        for module in model.modules():
            for name, value in list(module.__dict__.items()):
                if name not in MODULE_TABLES:
                    changed = self.fake_item(value)
                    if changed is not value:
                        module.__dict__[name] = changed

    def fake_item(self, item: Any) -> Any:
        """An attribute or an argument with its tensors replaced; the same object where it holds none."""
        return transform(item, self._fake_leaf, rebuild_changed, into=_NODES, is_leaf=_is_kept)

    def _fake_leaf(self, item: Any) -> Any:
        return self.fake_tensor(item) if isinstance(item, Tensor) else item

    def fake_tensor(self, tensor: Tensor) -> Tensor:
        """The fake of a tensor.

        Raises:
            TypeError: the tensor is not strided, or its class decides what operations do.
        """
        if id(tensor) not in self._fakes:
            strides = tensor.stride() if tensor.layout is torch.strided else None
            if strides is None:
                raise TypeError(f"a tensor of layout {tensor.layout} is not supported")
            if overrides_dispatch(type(tensor)):
                raise TypeError(
                    f"a {type(tensor).__name__} is not supported: it decides what operations on it do"
                )
            fake = torch.empty_strided(tuple(tensor.shape), strides, dtype=tensor.dtype)
            if isinstance(tensor, nn.Parameter):
                fake = nn.Parameter(fake, requires_grad=tensor.requires_grad)
            elif tensor.requires_grad:
                fake.requires_grad_()
            # The original stays alive, so that no other tensor gets its identity.
            self._fakes[id(tensor)] = tensor, fake
        return self._fakes[id(tensor)][1]


def overrides_dispatch(kind: type[Tensor]) -> bool:
    """Whether a class of tensors decides itself what an operation on them does."""
    plain: Any = (Tensor, nn.Parameter)
    if issubclass(kind, FakeTensor):
        return False
    return any(
        getattr(kind, name) not in [getattr(one, name) for one in plain]
        for name in ("__torch_function__", "__torch_dispatch__")
    )
