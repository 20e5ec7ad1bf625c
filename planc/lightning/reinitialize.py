"""A model on the meta device, made again by what its parts say of how they begin."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from itertools import chain

import torch
from torch import Tensor, nn

from planc.ir.errors import WeightsError


def rebuild_via_reset_parameters(module: nn.Module) -> Callable[[], nn.Module]:
    """Makes an unsplit copy of a module, filled by the `reset_parameters` of its parts: inner ones
    first, as constructors do it. Call this before the module is split.

    Raises:
        WeightsError: parts on the meta device have no such method.
    """
    _require_reset_parameters(module)
    bare = _copy_structure(module, {})

    def build() -> nn.Module:
        made = _copy_structure(bare, {})
        _allocate_meta_tensors(made)
        for part in _post_order(made):
            reset = getattr(part, "reset_parameters", None)
            if callable(reset) and any(tensor.is_meta for tensor in chain(part.parameters(), part.buffers())):
                reset()
        return made

    return build


def _copy_structure(module: nn.Module, seen: dict[int, nn.Module]) -> nn.Module:
    """The same modules with the same tensors; what is later put in place of either is not seen."""
    if id(module) not in seen:
        made = seen[id(module)] = copy.copy(module)
        for held in ("_parameters", "_buffers"):
            vars(made)[held] = dict(vars(module)[held])
        children = {
            name: None if child is None else _copy_structure(child, seen)
            for name, child in module._modules.items()
        }
        vars(made)["_modules"] = children
    return seen[id(module)]


def _require_reset_parameters(module: nn.Module) -> None:
    faults = [
        f"'{name}' ({type(part).__name__}) holds tensors and has no reset_parameters()"
        for name, part in module.named_modules()
        if any(tensor.is_meta for tensor in _own_tensors(part)) and not hasattr(part, "reset_parameters")
    ]
    if faults:
        why = (
            f"how {type(module).__name__}, which is on the meta device, is made is not known. needed: these "
            "methods, a LightningModule that makes it in configure_model, or a model with numbers:"
        )
        raise WeightsError(why, faults)


def _allocate_meta_tensors(module: nn.Module) -> None:
    """Tensors of this copy's own in place of those on the meta device; tied ones stay tied."""
    made: dict[int, Tensor] = {}
    for part in list(module.modules()):
        for held in (part._parameters, part._buffers):
            for name, old in held.items():
                if old is None or not old.is_meta:
                    continue
                if id(old) not in made:
                    new = torch.empty(old.shape, dtype=old.dtype)
                    is_parameter = isinstance(old, nn.Parameter)
                    made[id(old)] = nn.Parameter(new, old.requires_grad) if is_parameter else new
                held[name] = made[id(old)]  # type: ignore[assignment]


def _post_order(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        yield from _post_order(child)
    yield module


def _own_tensors(part: nn.Module) -> Iterator[Tensor]:
    return (tensor for tensor in (*part._parameters.values(), *part._buffers.values()) if tensor is not None)
