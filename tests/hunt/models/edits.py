"""How a mutation changes a module: as a subclass would, so that the change looks like any code of a user."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from tests.hunt.models.shapes import Shapes

Code = Callable[..., Any]
"""`code(module, inner, *args, **kwargs)`: what stands in the place of a method; `inner` is the method itself."""
TORCHS = "torch.nn."
"""Classes of torch: their subclasses are the user's."""


@dataclass
class Target:
    """A module that a mutation may change, and what is known of its calls."""

    model: nn.Module
    name: str
    rng: Random
    shapes: Shapes
    notes: list[str] = field(default_factory=list)

    @property
    def module(self) -> nn.Module:
        return self.model.get_submodule(self.name)

    @property
    def label(self) -> str:
        return self.name or "root"

    @property
    def entering(self) -> tuple[int, ...] | None:
        """The shape of the first floating-point argument of the first call; None: there is none."""
        return self.shapes.calls[self.name].entering

    @property
    def leaving(self) -> tuple[int, ...] | None:
        """The shape of the first floating-point tensor of the first result."""
        return self.shapes.calls[self.name].leaving

    @property
    def has_children(self) -> bool:
        return any(True for _ in self.module.children())

    @property
    def keeps_shape(self) -> bool:
        """Whether a stream of three dims goes through it."""
        return self.entering is not None and self.entering == self.leaving and len(self.entering) == 3

    def pick(self, *choices: Any) -> Any:
        return self.rng.choice(choices)

    def below(self, *kinds: type[nn.Module]) -> list[str]:
        """The modules of these classes inside of it that are called, by their full names."""
        start = f"{self.name}." if self.name else ""
        return [
            name
            for name in self.shapes.calls
            if name != self.name
            and name.startswith(start)
            and isinstance(self.model.get_submodule(name), kinds or nn.Module)
        ]

    def at(self, name: str) -> Target:
        """The same for another module."""
        return Target(self.model, name, self.rng, self.shapes)

    def later(self) -> list[str]:
        """Modules that are called after it has ended and get a tensor of the shape that leaves it."""
        order = list(self.shapes.calls)
        after = order[order.index(self.name) + 1 :]
        return [
            name
            for name in after
            if not name.startswith(f"{self.name}.") and self.shapes.calls[name].entering == self.leaving
        ]


def change_forward(module: nn.Module, code: Code) -> None:
    """Let the class of a module have another `forward`."""
    kind = type(module)

    @functools.wraps(kind.forward)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return code(self, functools.partial(kind.forward, self), *args, **kwargs)

    module.__class__ = _subclass(kind, {"forward": forward})


def change_call(module: nn.Module, code: Code) -> None:
    """Change the code around the calls of a module: to the module, this is code of its parent."""
    kind = type(module)

    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return code(self, functools.partial(kind.__call__, self), *args, **kwargs)

    module.__class__ = _subclass(kind, {"__call__": call})


def _subclass(kind: type, methods: dict[str, Any]) -> type:
    home = "user_models" if kind.__module__.startswith(TORCHS) else kind.__module__
    return type(kind.__name__, (kind,), {**methods, "__module__": home, "__qualname__": kind.__qualname__})


def is_float(item: Any) -> bool:
    return isinstance(item, Tensor) and item.is_floating_point()


def first_float(*items: Any) -> Tensor | None:
    """The first floating-point tensor in tuples, lists and mappings."""
    for item in items:
        if is_float(item):
            return item  # type: ignore[no-any-return]
        parts = item.values() if isinstance(item, dict) else item if isinstance(item, tuple | list) else ()
        found = first_float(*parts)
        if found is not None:
            return found
    return None


def on_first(result: Any, change: Callable[[Tensor], Any]) -> Any:
    """A result with its first floating-point tensor changed."""
    if is_float(result):
        return change(result)
    if type(result) in (tuple, list):
        parts = list(result)
        for index, part in enumerate(parts):
            if is_float(part):
                parts[index] = change(part)
                break
        return type(result)(parts)
    if isinstance(result, dict):
        for name, part in list(result.items()):
            if is_float(part):
                result[name] = change(part)
                break
    return result


def on_argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], change: Callable[[Tensor], Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments with the first floating-point tensor changed."""
    if any(map(is_float, args)):
        return on_first(args, change), kwargs
    return args, on_first(dict(kwargs), change)


Change = Callable[[nn.Module, Tensor, Tensor | None], Any]
"""`change(module, result, argument)`: another result."""


def after(place: nn.Module | Target, change: Change) -> None:
    """Change what the forward pass of a module gives."""
    module = place.module if isinstance(place, Target) else place

    def code(self: nn.Module, forward: Code, *args: Any, **kwargs: Any) -> Any:
        x = first_float(args, kwargs)
        return on_first(forward(*args, **kwargs), lambda y: change(self, y, x))

    change_forward(module, code)


def around(target: Target, change: Change) -> None:
    """Change what the parent of a module does with the result. Nobody calls the root but code outside of the model."""
    if not target.name:
        after(target, change)
        return

    def code(self: nn.Module, call: Code, *args: Any, **kwargs: Any) -> Any:
        x = first_float(args, kwargs)
        return on_first(call(*args, **kwargs), lambda y: change(self, y, x))

    change_call(target.module, code)


def before(module: nn.Module, change: Callable[[nn.Module, Tensor], Any]) -> None:
    """Change the argument at the begin of the forward pass."""

    def code(self: nn.Module, forward: Code, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = on_argument(args, kwargs, lambda x: change(self, x))
        return forward(*args, **kwargs)

    change_forward(module, code)


def row_numbers(size: int) -> Tensor:
    """Numbers that tell the entries of a vector apart."""
    return torch.linspace(0.5, 1.5, size)


def bend(y: Tensor, amount: Tensor | float) -> Tensor:
    """Change every entry by another factor: a norm that follows would undo a factor or a shift of all entries."""
    return y + 0.5 * torch.tanh(y) * amount
