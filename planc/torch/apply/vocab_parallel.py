"""Vocab-parallel logits: a tensor that shows the global shape, of which each rank holds a slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh

from planc.ir.lowered import LocalLayout, LoweredAxis, TensorPath
from planc.ir.tree import leaves
from planc.torch.apply.module_runtime import ModuleRuntime, ResultStep
from planc.torch.apply.redistribute import redistribute
from planc.torch.apply.tensor_paths import has_tensor_at, map_tensor_at
from planc.torch.apply.vocab_parallel_loss import vocab_parallel_cross_entropy
from planc.torch.compat import make_wrapper_subclass

_FROM_GLOBAL_SHAPE = frozenset({
    "shape", "size", "dim", "ndim", "ndimension", "numel", "nelement", "dtype", "device", "layout", "__len__",
    "is_floating_point", "is_complex", "is_cuda", "is_cpu", "is_meta", "is_sparse", "is_nested", "get_device",
    "element_size", "itemsize", "__hash__",
})  # fmt: skip
"""Functions that the global shape and the dtype answer."""
_FROM_LOCAL = frozenset({"requires_grad", "grad_fn", "is_leaf", "is_contiguous", "output_nr"})
"""Functions that the rank's slice answers."""
_ELEMENTWISE = frozenset({
    "float", "double", "half", "bfloat16", "to", "type", "cpu", "cuda", "contiguous", "detach", "clone",
    "mul", "div", "true_divide", "__mul__", "__rmul__", "__truediv__",
})  # fmt: skip
"""Functions of each element by itself."""
_VIEWS = frozenset({"view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze"})


class VocabParallelLogits(Tensor):
    """Logits of the global shape (..., vocabulary); each rank holds its slice along the last dim in `local`.

    `F.cross_entropy` computes the loss on the slices. Functions that need other ranks' slices raise a
    `RuntimeError`; `full_tensor` brings the slices together."""

    local: Tensor
    group: ProcessGroup

    @staticmethod
    def __new__(cls: type[Self], local: Tensor, group: ProcessGroup) -> Self:
        shape = (*local.shape[:-1], local.shape[-1] * group.size())
        logits: Self = make_wrapper_subclass(cls, shape, dtype=local.dtype, device=local.device)
        logits.local, logits.group = local, group
        return logits

    def full_tensor(self) -> Tensor:
        """All-gather the logits: a plain tensor of the global shape, on every rank. Gradients flow back."""
        return redistribute(
            self.local, LocalLayout("shard", self.local.ndim - 1), LocalLayout("invariant"), self.group
        )

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
        if name in _FROM_GLOBAL_SHAPE:
            return super().__torch_function__(func, types, args, kwargs)  # type: ignore[no-untyped-call]
        if func is nn.functional.cross_entropy:
            return _cross_entropy(*args, **kwargs)
        if args and isinstance(args[0], cls):
            return _apply_to_local(name, func, *args, **kwargs)
        raise _unsupported(name)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise _unsupported(str(func))


def _function_name(func: Any) -> str:
    """The name of a function, a method, or the getter of an attribute."""
    name = getattr(func, "__name__", "")
    return getattr(getattr(func, "__self__", None), "__name__", "") if name == "__get__" else name


def _apply_to_local(
    name: str, func: Callable[..., Any], x: VocabParallelLogits, *rest: Any, **kwargs: Any
) -> Any:
    """Apply a function or a method to the slice."""
    if name in _VIEWS:
        return _view(x, func, rest, kwargs)
    if name == "__getitem__":
        return _index_leading_dims(x, rest[0])
    if name == "register_hook":
        return _register_grad_hook(x, *rest, **kwargs)
    if not leaves((*rest, *kwargs.values()), Tensor, into=(tuple, list)):
        if name in _FROM_LOCAL:
            return func(x.local, *rest, **kwargs)
        if name in _ELEMENTWISE:
            return VocabParallelLogits(func(x.local, *rest, **kwargs), x.group)
    raise _unsupported(name)


def _unsupported(name: str) -> RuntimeError:
    # No TypeError: Python's operators would take it for "not implemented".
    return RuntimeError(
        f"vocab-parallel logits do not support '{name}': each rank holds a slice of the vocabulary, since the plan "
        "has 'loss vocab_parallel'. F.cross_entropy takes them, also after views and slices of the dims before the "
        "last, casts, and products with a number. For anything else gather them first: logits.full_tensor()"
    )


def _view(x: VocabParallelLogits, func: Callable[..., Any], rest: Any, kwargs: Any) -> VocabParallelLogits:
    """View the slice in the same way; the last dim must stay."""
    viewed = func(torch.empty(x.shape, device="meta"), *rest, **kwargs).shape
    if not viewed or viewed[-1] != x.shape[-1]:
        raise _unsupported(_function_name(func))
    shape = (*viewed[:-1], x.local.shape[-1])
    # A view stays a view: it raises where the same view of the gathered logits would raise.
    view = x.local.view if _function_name(func) == "view" else x.local.reshape
    return VocabParallelLogits(view(shape), x.group)


def _index_leading_dims(x: VocabParallelLogits, index: Any) -> VocabParallelLogits:
    """Index the dims before the last, by slices, numbers, ids or masks."""
    items = index if isinstance(index, tuple) else (index,)
    count = sum(_dims_indexed(item) for item in items)
    if any(item is Ellipsis for item in items):
        reaches_last = items[-1] is not Ellipsis
    else:
        reaches_last = count >= x.local.ndim
    last = items[-1] if items else None
    if reaches_last and not (isinstance(last, slice) and last == slice(None)):
        raise _unsupported("indexing the last dim")
    return VocabParallelLogits(x.local[index], x.group)


def _register_grad_hook(x: VocabParallelLogits, hook: Callable[[Any], Any]) -> Any:
    """Register a hook that gets the gradient as vocab-parallel logits."""

    def run(gradient: Tensor) -> Tensor | None:
        changed = hook(VocabParallelLogits(gradient, x.group))
        if changed is None or isinstance(changed, VocabParallelLogits):
            return None if changed is None else changed.local
        raise _unsupported("a hook that returns another kind of gradient")

    return x.local.register_hook(run)  # type: ignore[no-untyped-call]


def _dims_indexed(item: Any) -> int:
    """How many dims an index consumes."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    if isinstance(item, Tensor) and item.dtype in (torch.bool, torch.uint8):
        return item.ndim
    return 1


def _cross_entropy(
    input: Any,  # noqa: A002  # the names of F.cross_entropy
    target: Any,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    if weight is not None or size_average is not None or reduce is not None:
        raise _unsupported("cross_entropy with weight, size_average or reduce")
    if (
        not isinstance(input, VocabParallelLogits)
        or isinstance(target, VocabParallelLogits)
        or input.ndim > 2
    ):
        raise _unsupported("cross_entropy of anything but logits (rows, classes) and the rows' labels")
    return vocab_parallel_cross_entropy(
        input.local, target, input.group,
        ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip


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
