"""Vocab-parallel logits: a tensor that shows the global shape, of which each rank holds a slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh

from planc.ir.lowered import LoweredAxis, TensorPath
from planc.ir.tree import map_leaves
from planc.torch.apply.module_runtime import ModuleRuntime, ResultStep
from planc.torch.apply.tensor_paths import has_tensor_at, map_tensor_at
from planc.torch.apply.vocab_parallel_ops import FROM_GLOBAL_SHAPE, VOCAB_OPS
from planc.torch.apply.vocab_slice import VocabSlice, unsupported
from planc.torch.compat import make_wrapper_subclass


class VocabParallelLogits(Tensor):
    """Logits of the global shape; each rank holds its slice along the dim of the vocabulary, the last one at first.

    `F.cross_entropy` computes the loss on the slices, and `planc.torch.apply.vocab_parallel_ops` has the other functions
    that do not need them together. Any other function raises a `RuntimeError`; `full_tensor` brings the slices together."""

    slice: VocabSlice

    @staticmethod
    def __new__(cls: type[Self], local: Tensor, group: ProcessGroup, dim: int = -1) -> Self:
        return cls._of(VocabSlice(local, dim % local.ndim, group))

    @classmethod
    def _of(cls, own: VocabSlice) -> Self:
        logits: Self = make_wrapper_subclass(cls, own.shape, dtype=own.local.dtype, device=own.local.device)
        logits.slice = own
        return logits

    @property
    def local(self) -> Tensor:
        """This rank's slice."""
        return self.slice.local

    def full_tensor(self) -> Tensor:
        """All-gather the logits: a plain tensor of the global shape, on every rank. Gradients flow back."""
        return self.slice.gather()

    gathered = full_tensor
    """The former name."""

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"VocabParallelLogits(shape={tuple(self.shape)}, local={self.local!r})"

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = _function_name(func)
        if name in FROM_GLOBAL_SHAPE:
            return super().__torch_function__(func, types, args, kwargs)  # type: ignore[no-untyped-call]
        if name == "register_hook":
            return cls._register_grad_hook(*args, **kwargs)
        operation = VOCAB_OPS.get(name)
        if operation is None or "out" in kwargs:
            raise unsupported(f"'{name}'")
        if not args:
            args = tuple(kwargs.pop(key) for key in _FIRST if key in kwargs)
        result = operation(func, *map_leaves((args, kwargs), cls, lambda logits: logits.slice))
        if name.endswith("_") and not name.endswith("__"):
            return args[0]
        return result if isinstance(result, Tensor) else map_leaves(result, VocabSlice, cls._of)

    @classmethod
    def _register_grad_hook(cls, logits: VocabParallelLogits, hook: Callable[[Any], Any]) -> Any:
        """Register a hook that gets the gradient as vocab-parallel logits."""
        own = logits.slice

        def run(gradient: Tensor) -> Tensor | None:
            changed = hook(cls._of(own.with_local(gradient)))
            if changed is None or isinstance(changed, VocabParallelLogits):
                return None if changed is None else changed.local
            raise unsupported("a hook that returns another kind of gradient")

        return own.local.register_hook(run)  # type: ignore[no-untyped-call]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise unsupported(f"'{func}'")


_FIRST = ("input", "self", "tensors")
"""Names of the first argument."""


def _function_name(func: Any) -> str:
    """The name of a function, a method, or the getter of an attribute."""
    name = getattr(func, "__name__", "")
    return getattr(getattr(func, "__self__", None), "__name__", "") if name == "__get__" else name


class VocabParallelOutput(ResultStep):
    """Hands the logits out as `VocabParallelLogits`."""

    def __init__(self, path: TensorPath, group: ProcessGroup) -> None:
        self.path, self.group = path, group

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def hook(self, module: nn.Module, args: Any, result: Any) -> Any:
        if not has_tensor_at(result, self.path):
            place = ".".join(map(str, self.path))
            place = f"at {place} of the model's result" if place else "as the model's result"
            raise TypeError(f"planc proved the plan with logits {place}, and finds no tensor there now")
        return map_tensor_at(result, self.path, lambda x: VocabParallelLogits(x, self.group))


def apply_vocab_parallel_loss(model: nn.Module, axis: LoweredAxis, mesh: DeviceMesh) -> None:
    """Let the logits leave a model split over the vocabulary. Call this after everything else is applied:
    hooks of torch on results must get the slices."""
    group = mesh[axis.axis].get_group()
    ModuleRuntime.of(model).add_result_step(model, VocabParallelOutput(axis.logits_path, group))
    if any(base.__name__ == "PreTrainedModel" for base in type(model).__mro__):
        _wrap_model_loss(model, group)


def _wrap_model_loss(model: Any, group: ProcessGroup) -> None:
    """Wrap the loss that a transformers model computes itself when it is called with labels."""
    own = model.loss_function

    def loss(logits: Tensor, *args: Any, **kwargs: Any) -> Any:
        return own(VocabParallelLogits(logits, group), *args, **kwargs)

    model.loss_function = loss
