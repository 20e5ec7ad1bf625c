"""The calls of torch functions that a graph keeps, and their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from planc.torch.compat import GRAD_PROPERTIES, SILENT_FUNCTIONS, op_namespace

COMPUTED_PROPERTIES = ("T", "mT", "H", "mH", "real", "imag", "data")
"""Properties of tensors that compute something; the operations have their names."""

IN_PLACE_DUNDERS = frozenset(
    f"__i{name}__"
    for name in (
        "add",
        "sub",
        "mul",
        "truediv",
        "floordiv",
        "mod",
        "pow",
        "and",
        "or",
        "xor",
        "lshift",
        "rshift",
    )
) | {"__setitem__", "__idiv__"}

_COMPUTES_NOTHING = frozenset(
    [
        *SILENT_FUNCTIONS,
        "set_grad_enabled",
        "dim",
        "ndimension",
        "is_floating_point",
        "is_complex",
        "is_signed",
        "is_inference",
        "is_contiguous",
        "is_conj",
        "is_neg",
        "is_nonzero",
        "is_same_size",
        "is_set_to",
        "is_storage",
        "is_tensor",
        "stride",
        "storage_offset",
        "element_size",
        "data_ptr",
        "get_device",
        "untyped_storage",
        "storage",
        "requires_grad_",
        "retain_grad",
        "__repr__",
        "__format__",
        "__hash__",
        "__reduce_ex__",
        "__len__",
        "__dir__",
        "__bool__",
        "__int__",
        "__float__",
        "__index__",
        "item",
        "tolist",
        "numpy",
        "result_type",
        "can_cast",
        "promote_types",
        "__torch_function__",
        "__set__",
        "__delete__",
        "has_names",
        "broadcast_shapes",
    ]
)

_ON_GRADIENTS = ("register_hook", "register_post_accumulate_grad_hook", "backward")
GRADIENT_ACCESS = (*_ON_GRADIENTS, "grad_fn", "grad", *GRAD_PROPERTIES)
"""Methods and properties that read or change the backward pass in ways that no operation shows."""

CONTENT_PROPERTIES = ("data", "real", "imag")
"""Properties that are the content of a tensor: code that sets one writes to the tensor."""

DATA_READS = ("item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__")
"""Methods that read the values of a tensor."""

_SHAPE = Tensor.shape.__get__  # type: ignore[attr-defined]


def reads_size(function: Callable[..., Any]) -> bool:
    """Whether a function is `x.shape` or `x.size`."""
    return function == _SHAPE or function is Tensor.size


def op_name(function: Callable[..., Any]) -> str | None:
    """The name of the operation that a function computes, as torch names it; None: it computes nothing."""
    name: str = getattr(function, "__name__", "")
    if name in ("__get__", "__set__"):
        owner = getattr(getattr(function, "__self__", None), "__name__", "")
        if name == "__set__":
            return f"set_{owner}_" if owner in CONTENT_PROPERTIES else None
        return owner if owner in COMPUTED_PROPERTIES else None
    if not name or name in _COMPUTES_NOTHING or name in _ON_GRADIENTS:
        return None
    if namespace := _namespace(function):
        return f"{namespace}::{name}"
    # `torch.embedding` takes its arguments in another order than `functional.embedding`.
    is_swapped = name in ("embedding", "embedding_bag") and getattr(function, "__module__", "") is None
    return f"torch.{name}" if is_swapped else name


def _namespace(function: Callable[..., Any]) -> str:
    """The namespace of a function that is not torch's: it may have the name of one of torch's and do something else."""
    module = getattr(function, "__module__", None) or "torch"
    if namespace := op_namespace(module):
        return "" if namespace == "aten" else namespace
    return "" if module.partition(".")[0] == "torch" else module


def is_in_place(name: str) -> bool:
    """Whether an operation of this name changes its first argument."""
    return name in IN_PLACE_DUNDERS or (name.endswith("_") and not name.endswith("__"))
