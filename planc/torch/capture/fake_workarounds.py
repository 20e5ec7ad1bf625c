"""Makes code do on fake tensors what it does in a training run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, autograd, nn
from torch.utils.checkpoint import CheckpointFunction

from planc.torch.compat import SCRIPT_TYPES, DisableTorchFunction, FakeTensor

_BOOLEANS = {value: torch.tensor(value) for value in (True, False)}
_HALF: dict[tuple[int, ...], Tensor] = {shape: torch.full(shape, 0.5) for shape in ((), (1,))}


def pin_random_scalar(name: str, result: Any) -> None:
    """Make a single random number one half, so that code can branch on it: layers that a model drops with a small
    probability are there."""
    if name == "rand" and isinstance(result, FakeTensor) and result.dtype is torch.float32:
        result.constant = _HALF.get(tuple(result.shape))


class FiniteNumbers:
    """Lets code branch on whether all numbers are finite, as they are in training that goes well: `if not
    torch.isfinite(x).all(): x = x.clamp(...)`."""

    _TRUTH: Mapping[str, bool] = {"isfinite": True, "isinf": False, "isnan": False}
    _REDUCTIONS: Mapping[str, bool] = {"all": True, "any": False}
    """The reduction that says something of all numbers, by what each test gives."""

    def __init__(self) -> None:
        self._tests: dict[int, tuple[Any, bool]] = {}

    def pin(self, name: str, args: Sequence[Any], result: Any) -> None:
        """Give a single truth about all numbers its value; remember the tests of single numbers.

        Args:
            name: the operation that ran.
            args: its arguments by position.
            result: what it gave.
        """
        if not isinstance(result, FakeTensor):
            return
        if name in self._TRUTH:
            self._tests[id(result)] = result, self._TRUTH[name]  # it stays alive, so that its identity does
        elif name in self._REDUCTIONS and len(args) == 1 and result.ndim == 0:
            tested = self._tests.get(id(args[0]))
            if tested is not None and tested[1] is self._REDUCTIONS[name]:
                result.constant = _BOOLEANS[tested[1]]


@contextmanager
def record_opaque_functions(recorder: Any) -> Iterator[None]:
    """Record each call of a `torch.autograd.Function` as one operation, since its forward does not show its gradient,
    and each call of a compiled script, since no mode sees into it."""
    original: Any = autograd.Function.__dict__["apply"]

    def apply(cls: type, *args: Any, **kwargs: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            with DisableTorchFunction():
                return original.__get__(None, cls)(*args, **kwargs)

        if not recorder.is_listening:
            return call(*args, **kwargs)
        return recorder.record(f"autograd.Function.{cls.__name__}", call, args, kwargs)

    function: Any = autograd.Function
    function.apply = classmethod(apply)
    scripts: dict[Any, Any] = {kind: kind.__call__ for kind in SCRIPT_TYPES}
    for kind, call in scripts.items():
        kind.__call__ = _recorded_script(call, recorder)
    try:
        yield
    finally:
        function.apply = original
        for kind, call in scripts.items():
            kind.__call__ = call


@contextmanager
def record_checkpointed_functions() -> Iterator[None]:
    """Let reentrant checkpoints run their functions as ordinary code, so that the recorder sees the operations.

    As in torch, gradients flow only if a tensor among the arguments has one.
    """

    def apply(function: Any, _preserve_rng_state: bool, *args: Any) -> Any:
        has_grad = any(isinstance(arg, Tensor) and arg.requires_grad for arg in args)
        with torch.set_grad_enabled(has_grad and torch.is_grad_enabled()):
            return function(*args)

    reentrant: Any = CheckpointFunction
    reentrant.apply = staticmethod(apply)
    try:
        yield
    finally:
        del reentrant.apply


def _recorded_script(original: Any, recorder: Any) -> Any:
    """The call of a compiled script, recorded as one operation."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not recorder.is_listening:
            return original(self, *args, **kwargs)

        def run(*args: Any, **kwargs: Any) -> Any:
            return original(self, *args, **kwargs)

        return recorder.record(f"jit.script.{self.name}", run, args, kwargs)

    return call


@contextmanager
def skip_unchanged_conversions() -> Iterator[None]:
    """Let `module.to(dtype)` do nothing where the module is of that dtype already: torch would replace its parameters by
    themselves, which fake ones refuse."""
    original: Any = nn.Module.to

    def to(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        tensors = [*self.parameters(), *self.buffers()]
        if all(tensor.to(*args, **kwargs) is tensor for tensor in tensors if tensor.is_floating_point()):
            return self
        converted: nn.Module = original(self, *args, **kwargs)
        return converted

    module: Any = nn.Module
    module.to = to
    try:
        yield
    finally:
        module.to = original
