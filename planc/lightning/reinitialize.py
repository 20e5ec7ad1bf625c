"""Functions that build an unsplit copy of a module, for the weights of one that was made on the meta device."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.errors import WeightsError
from planc.torch.compat import MODULE_TABLES, own_buffers, own_modules, own_parameters


def rebuild_via(module: nn.Module, method: str) -> Callable[[], nn.Module]:
    """Build a module as one of its methods does, which adds submodules to it. Call this before that
    method runs.

    Args:
        module: as it is before the method runs.
        method: its name, as `configure_model`.
    """
    template = _shallow_copy(module)

    def build() -> nn.Module:
        rebuilt = _shallow_copy(template)
        getattr(rebuilt, method)()
        return rebuilt

    return build


def skip_configure_model() -> None:
    """Replaces a `configure_model` that has run."""


def rebuild_via_reset_parameters(module: nn.Module) -> Callable[[], nn.Module]:
    """Build a module by the `reset_parameters` of its submodules, the inner ones first, as constructors call
    them. Call this before the module is split.

    Raises:
        WeightsError: submodules on the meta device have no such method.
    """
    _require_reset_parameters(module)
    template = _copy_structure(module, {})

    def build() -> nn.Module:
        rebuilt = _copy_structure(template, {})
        _allocate_meta_tensors(rebuilt)
        for part in _post_order(rebuilt):
            reset = getattr(part, "reset_parameters", None)
            if callable(reset) and any(tensor.is_meta for tensor in chain(part.parameters(), part.buffers())):
                reset()
        return rebuilt

    return build


def _shallow_copy(module: nn.Module) -> nn.Module:
    """The same tensors and submodules; adding or replacing some in one of the two does not show in the other."""
    copied = copy.copy(module)
    for table in MODULE_TABLES:
        vars(copied)[table] = dict(vars(module)[table])
    return copied


def _copy_structure(module: nn.Module, copies: dict[int, nn.Module]) -> nn.Module:
    """Shallow copies of a module and of all its submodules; shared ones stay shared."""
    if id(module) not in copies:
        copied = copies[id(module)] = _shallow_copy(module)
        children = own_modules(copied)
        for name, child in children.items():
            children[name] = None if child is None else _copy_structure(child, copies)
    return copies[id(module)]


def _require_reset_parameters(module: nn.Module) -> None:
    missing = [
        f"'{name}' ({type(part).__name__}) holds tensors and has no reset_parameters()"
        for name, part in module.named_modules()
        if any(tensor.is_meta for tensor in _own_tensors(part)) and not hasattr(part, "reset_parameters")
    ]
    if missing:
        why = (
            f"{type(module).__name__} is on the meta device, and planc does not know how to initialize it. "
            "needed: these methods, a LightningModule that makes the model in configure_model, or a model with weights:"
        )
        raise WeightsError(why, missing)


def _allocate_meta_tensors(module: nn.Module) -> None:
    """Replace tensors on the meta device by empty ones; tied tensors stay tied."""
    allocated: dict[int, Tensor] = {}
    for part in list(module.modules()):
        tables: tuple[dict[str, Any], ...] = (own_parameters(part), own_buffers(part))
        for table in tables:
            for name, old in table.items():
                if old is None or not old.is_meta:
                    continue
                if id(old) not in allocated:
                    new = torch.empty(old.shape, dtype=old.dtype)
                    is_parameter = isinstance(old, nn.Parameter)
                    allocated[id(old)] = nn.Parameter(new, old.requires_grad) if is_parameter else new
                table[name] = allocated[id(old)]


def _post_order(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        yield from _post_order(child)
    yield module


def _own_tensors(part: nn.Module) -> Iterator[Tensor]:
    tensors = (*own_parameters(part).values(), *own_buffers(part).values())
    return (tensor for tensor in tensors if tensor is not None)
