"""Other names for tensors at the boundaries of modules.

A boundary of a plan gives a module another tensor than its caller has. So a capture gives each side
an object of its own: the code that reads a tensor shows by the object that it found which of
the two it has, whatever the way that the tensor took.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.tree import children, fold, rebuild
from planc.torch.capture.tensor_table import TensorTable, tensors_in
from planc.torch.compat import DisableTorchFunction, FakeTensor, unset_fake_temporarily


class BoundaryAliases:
    """The names of tensors on one side of the boundary of one call."""

    def __init__(self, ledger: TensorTable, maker: int, made: dict[int, int], left: dict[int, None]) -> None:
        self.table, self.maker = ledger, maker
        """Who has the new names: the number of the call whose code reads them."""
        self.aliased, self.unaliased = made, left
        """What is renamed, and what keeps its name."""
        self._objects: dict[int, Tensor] = {}

    def alias_tensors(self, item: Any, *, unshared: bool = False) -> Any:
        """An argument or a result under its new names; see `renamed`."""
        return replace_tensors(item, self._alias, self._leave, unshared=unshared)

    def _alias(self, tensor: Tensor) -> Tensor:
        number = self.table.number(tensor)
        if number is None:
            return tensor  # a weight has one name everywhere
        if number not in self._objects:
            alias = self._objects[number] = make_alias(tensor)
            self.table.set_origins([alias], list(self.table.origins_of([tensor])))
            self.aliased[number] = self.table.add(alias, self.maker)
        return self._objects[number]

    def _leave(self, tensor: Tensor) -> None:
        number = self.table.number(tensor)
        if number is not None:
            self.unaliased[number] = None


def make_alias(tensor: Tensor) -> Tensor:
    """Another object for the same tensor: its memory, its gradient, and what code has put on it."""
    is_fake = isinstance(tensor, FakeTensor)
    # A real tensor, as code may hide one, gives its numbers away: let it do so under the new name.
    mode = contextlib.nullcontext() if is_fake else unset_fake_temporarily()
    with DisableTorchFunction(), torch.enable_grad(), mode:
        made = tensor.view_as(tensor)
    for name, value in vars(tensor).items():
        vars(made).setdefault(name, value)
    if is_fake and made.constant is None:  # type: ignore[attr-defined]
        made.constant = tensor.constant  # type: ignore[attr-defined]
    return made


def replace_tensors(
    item: Any,
    replace: Callable[[Tensor], Tensor],
    on_unaliased: Callable[[Tensor], object],
    *,
    unshared: bool,
) -> Any:
    """Arguments or a result with other objects for their tensors.

    Tuples are made anew. Lists, mappings and other objects stay as they are, with their tensors, since other code
    may hold them; only where nobody does, their parts are replaced in place.

    Args:
        item: the argument or the result.
        replace: gives the other object of a tensor.
        on_unaliased: is called with each tensor that keeps its object.
        unshared: whether no other code holds the item.
    """

    def replace_leaf(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return replace(leaf)
        for tensor in tensors_in(leaf):
            on_unaliased(tensor)
        return leaf

    if not (unshared and isinstance(item, list | dict)):
        return fold(item, replace_leaf, rebuild, into=(tuple,))
    for key, part in list(children(item)):
        new = fold(part, replace_leaf, rebuild, into=(tuple,))
        if new is not part:
            item[key] = new
    return item


@cache
def unshared_refcount() -> int:
    """How often Python counts, in a forward hook, a result that nobody but the call holds."""
    counts: list[int] = []

    class Fresh(nn.Module):
        def forward(self) -> list[int]:
            return [len(counts)]

    def hook(module: nn.Module, arguments: Any, keywords: Any, result: Any) -> None:
        counts.append(sys.getrefcount(result))

    module = Fresh()
    module.register_forward_hook(hook, with_kwargs=True)
    module()
    return counts[0]
