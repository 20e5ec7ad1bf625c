"""What a module returns: records, views, things that are no tensors."""

from __future__ import annotations

import functools
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tests.hunt.models.edits import Code, Target, bend, change_call, change_forward, first_float, is_float
from tests.hunt.models.mutation_table import mutation


@dataclass
class Output:
    """A record of a user."""

    out: Tensor
    note: int = 0


@dataclass(frozen=True)
class FrozenOutput:
    """Another one, which nobody may change."""

    out: Tensor
    note: int = 0


Pair = namedtuple("Pair", ["out", "note"])  # noqa: PYI024  # models have those
WRAPPERS: dict[str, tuple[Any, Any]] = {
    "a dataclass": (Output, lambda r: r.out),
    "a frozen dataclass": (FrozenOutput, lambda r: r.out),
    "a named tuple": (lambda y: Pair(y, 0), lambda r: r.out),
    "a dictionary": (lambda y: {"out": y, "note": None}, lambda r: r["out"]),
    "a list": (lambda y: [y, None], lambda r: r[0]),
    "a nested tuple": (lambda y: ((y, 1), "text"), lambda r: r[0][0]),
    "a dataclass in a dictionary": (lambda y: {"out": Output(y)}, lambda r: r["out"].out),
}


def _wrapped(target: Target, wrap: Any, unwrap: Any) -> bool:
    """Let a module return its result wrapped, and its parent unwrap it; the root's user gets what it returns."""
    if target.leaving is None:
        return False

    def forward_code(_module: nn.Module, forward: Code, *args: Any, **kwargs: Any) -> Any:
        result = forward(*args, **kwargs)
        return wrap(result, first_float(args, kwargs)) if is_float(result) else result

    def call_code(_module: nn.Module, call: Code, *args: Any, **kwargs: Any) -> Any:
        result = call(*args, **kwargs)
        return unwrap(result) if not is_float(result) else result

    change_forward(target.module, forward_code)
    if target.name:
        change_call(target.module, call_code)
    return True


def _gives_tensor(target: Target) -> bool:
    return target.shapes.calls[target.name].gives_tensor


@mutation("record")
def return_record(target: Target) -> str | None:
    text, (wrap, unwrap) = target.rng.choice(list(WRAPPERS.items()))
    if not _gives_tensor(target) or not _wrapped(target, lambda y, _: wrap(y), unwrap):
        return None
    return f"the result in {text}"


@mutation("view-of-argument")
def return_view_of_argument(target: Target) -> str | None:
    views = {
        "x[:]": lambda x: x[:],
        "x.transpose(0, 1)": lambda x: x.transpose(0, 1),
        "x.detach()": lambda x: x.detach(),
        "x": lambda x: x,
    }
    text, view = target.rng.choice(list(views.items()))
    if not _gives_tensor(target) or target.entering is None or len(target.entering) < 2:
        return None
    _wrapped(target, lambda y, x: (y, view(x)), lambda r: bend(r[0], r[1].mean()))
    return f"return y, {text}; the parent: y + 0.5 * tanh(y) * its mean"


@mutation("view-of-parameter")
def return_view_of_parameter(target: Target) -> str | None:
    if not _gives_tensor(target) or not target.name:
        return None
    found = [n for n, p in target.module.named_parameters()]
    if not found:
        return None
    name, way = target.rng.choice(found), target.pick("itself", "[:1]", "detached")

    def code(module: nn.Module, forward: Code, *args: Any, **kwargs: Any) -> Any:
        param = functools.reduce(getattr, name.split("."), module)
        seen = param if way == "itself" else param[:1] if way == "[:1]" else param.detach()
        return forward(*args, **kwargs), seen

    change_forward(target.module, code)

    def call_code(_module: nn.Module, call: Code, *args: Any, **kwargs: Any) -> Any:
        y, seen = call(*args, **kwargs)
        return bend(y, seen.mean())

    change_call(target.module, call_code)
    return f"return y, {name} {way}; the parent: y + 0.5 * tanh(y) * its mean"


@mutation("view-of-result")
def return_result_twice(target: Target) -> str | None:
    ways = {
        "y": lambda y: y,
        "y.transpose(0, 1)": lambda y: y.transpose(0, 1),
        "y[..., :1]": lambda y: y[..., :1],
        "y.detach()": lambda y: y.detach(),
    }
    text, view = target.rng.choice(list(ways.items()))
    if not _gives_tensor(target) or target.leaving is None or len(target.leaving) < 2:
        return None
    _wrapped(target, lambda y, _: (y, view(y)), lambda r: bend(r[0], r[1].mean()))
    return f"return y, {text}; the parent: y + 0.5 * tanh(y) * its mean"


@mutation("unlike-results")
def return_other_kinds(target: Target) -> str | None:
    """Beside the result one that is boolean, complex or an integer."""
    ways = {
        "y > 0": (lambda y: y > 0, lambda y, z: torch.where(z, y, 0.5 * y)),
        "y.argmax(-1)": (lambda y: y.argmax(-1), lambda y, z: bend(y, z.unsqueeze(-1))),
        "torch.complex(y, y)": (lambda y: torch.complex(y, 0.5 * y), lambda y, z: y + z.imag),
        "y.abs().amax()": (lambda y: y.abs().amax(), lambda y, z: bend(y, 1 / z)),
        "y.shape": (lambda y: tuple(y.shape), lambda y, z: y.view(z)),
    }
    text, (make, use) = target.rng.choice(list(ways.items()))
    if not _gives_tensor(target) or target.leaving is None or len(target.leaving) < 2 or not target.name:
        return None
    _wrapped(target, lambda y, _: (y, make(y)), lambda r: use(*r))
    return f"return y, {text}; the parent uses both"
