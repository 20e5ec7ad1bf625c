"""Aliases of tensors at the boundaries of modules.

A boundary of a plan gives a module another tensor than its caller has. So a capture gives each side its own object:
the object that code reads shows on which side it got the tensor, however it got it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from planc.ir.tree import children, rebuild, transform
from planc.torch.capture.tensor_table import TensorTable, tensors_in
from planc.torch.compat import DisableTorchFunction, FakeTensor, unset_fake_temporarily


class BoundaryAliases:
    """The aliases on one side of the boundary of one call."""

    def __init__(
        self, table: TensorTable, reader: int, aliased: dict[int, int], unaliased: dict[int, None]
    ) -> None:
        """
        Args:
            table: all tensors of the run.
            reader: the number of the call whose code reads the aliases.
            aliased: gets the numbers of tensors, and those of their aliases.
            unaliased: gets the numbers of tensors that stay as they are.
        """
        self.table, self.reader, self.aliased, self.unaliased = table, reader, aliased, unaliased
        self._aliases: dict[int, Tensor] = {}

    def alias_tensors(self, item: Any, *, unshared: bool = False) -> Any:
        """An argument or a result with aliases in place of its tensors, as `replace_tensors` replaces them."""
        return replace_tensors(item, self._alias, self._keep, unshared=unshared)

    def _alias(self, tensor: Tensor) -> Tensor:
        number = self.table.number(tensor)
        if number is None:
            return tensor  # a weight is one object everywhere
        if number not in self._aliases:
            alias = self._aliases[number] = make_alias(tensor)
            self.table.set_origins([alias], list(self.table.origins_of([tensor])))
            self.aliased[number] = self.table.add(alias, self.reader)
        return self._aliases[number]

    def _keep(self, tensor: Tensor) -> None:
        number = self.table.number(tensor)
        if number is not None:
            self.unaliased[number] = None


def make_alias(tensor: Tensor) -> Tensor:
    """Another object for the same tensor, with its memory, its gradient and the attributes that code has set on it."""
    is_fake = isinstance(tensor, FakeTensor)
    # Code may hold a real tensor in an object, and read its values: its alias must have values too.
    mode = contextlib.nullcontext() if is_fake else unset_fake_temporarily()
    with DisableTorchFunction(), torch.enable_grad(), mode:
        alias = tensor.view_as(tensor)
    for name, value in vars(tensor).items():
        vars(alias).setdefault(name, value)
    if is_fake and alias.constant is None:  # type: ignore[attr-defined]
        alias.constant = tensor.constant  # type: ignore[attr-defined]
    return alias


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
        return transform(item, replace_leaf, rebuild, into=(tuple,))
    for key, part in list(children(item)):
        new = transform(part, replace_leaf, rebuild, into=(tuple,))
        if new is not part:
            item[key] = new
    return item


@cache
def unshared_refcount() -> int:
    """The reference count, in a forward hook, of a result that only the call holds: it depends on the version of
    Python."""
    counts: list[int] = []

    class ReturnsList(nn.Module):
        def forward(self) -> list[int]:
            return [len(counts)]

    def hook(module: nn.Module, arguments: Any, keywords: Any, result: Any) -> None:
        counts.append(sys.getrefcount(result))

    module = ReturnsList()
    module.register_forward_hook(hook, with_kwargs=True)
    module()
    return counts[0]
