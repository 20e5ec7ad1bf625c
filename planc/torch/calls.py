"""Which calls of torch a graph keeps, and under which name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

PROPERTIES = ("T", "mT", "H", "mH", "real", "imag", "data")
"""Properties of tensors that compute something; their names are those of the operations."""

IN_PLACE = frozenset(
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
        "_set_grad_enabled",
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
        "_typed_storage",
        "requires_grad_",
        "register_hook",
        "retain_grad",
        "register_post_accumulate_grad_hook",
        "backward",
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
        "_is_view",
        "__torch_function__",
        "__set__",
        "__delete__",
        "has_names",
        "broadcast_shapes",
        "_assert",
    ]
)

TAKING = ("item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__")
"""Methods that take numbers out of a tensor."""

_SHAPE = Tensor.shape.__get__  # type: ignore[attr-defined]


def reads_size(function: Callable[..., Any]) -> bool:
    """Whether it is `x.shape` or `x.size`."""
    return function == _SHAPE or function is Tensor.size


def name_of(function: Callable[..., Any]) -> str | None:
    """The name of an operation, as torch calls the function; None: it computes nothing."""
    name: str = getattr(function, "__name__", "")
    if name == "__get__":
        name = getattr(getattr(function, "__self__", None), "__name__", "")
        return name if name in PROPERTIES else None
    if not name or name in _COMPUTES_NOTHING:
        return None
    # The one function of torch that takes its arguments in another order than its namesake.
    is_swapped = name in ("embedding", "embedding_bag") and getattr(function, "__module__", "") is None
    return f"torch.{name}" if is_swapped else name


def is_in_place(name: str) -> bool:
    """Whether an operation of this name changes its first argument."""
    return name in IN_PLACE or (name.endswith("_") and not name.endswith("__"))
