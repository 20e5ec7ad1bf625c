"""Objects that hold settings, whatever they are made with: dataclasses, namespaces, mappings, pydantic, attrs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn

SETTINGS_NAMES = ("config", "cfg", "args", "settings", "hparams", "params")
"""The attributes in which modules usually keep their settings; the first one counts most."""
_MARKS = ("__dataclass_fields__", "__attrs_attrs__", "__pydantic_fields__")
"""What the libraries that make records set on their classes."""

_CONSTANTS = (bool, int, float, str)


def settings_of(module: nn.Module, name: str) -> Any:
    """What a module holds under one of `SETTINGS_NAMES`; None: nothing, or a property that raises."""
    try:
        return getattr(module, name, None)
    except Exception:  # noqa: BLE001  # the user's code may fail in any way
        return None


def record_fields(holder: Any) -> dict[str, Any] | None:
    """The public fields of an object that holds settings, by name. No property is read: it may run any code.

    Args:
        holder: a mapping, a named tuple, an object with attributes, or a class that stands for one.

    Returns:
        None: the object is a tensor, a module, or has no fields.
    """
    if isinstance(holder, Tensor | nn.Module):
        return None
    if isinstance(holder, Mapping):
        names = [key for key in holder if isinstance(key, str) and key.isidentifier()]
        return {name: value for name in names if (value := _item(holder, name)) is not None}
    if isinstance(holder, type):
        found = _constants(holder)
    elif isinstance(holder, tuple):
        found = dict(zip(getattr(holder, "_fields", ()), holder, strict=False))
    else:
        found = _constants(type(holder))
        found |= {name: getattr(holder, name) for name in _slots(type(holder)) if hasattr(holder, name)}
        found |= getattr(holder, "__dict__", {})
    return {name: value for name, value in found.items() if not name.startswith("_")} or None


def _item(mapping: Mapping[str, Any], name: str) -> Any:
    """An item of a mapping; None where it has no value, as a required one of OmegaConf that is missing."""
    try:
        return mapping[name]
    except Exception:  # noqa: BLE001  # a mapping may compute its items
        return None


def _constants(kind: type) -> dict[str, Any]:
    """The constants of a class, and of those it derives from."""
    bases = reversed(kind.__mro__)
    return {n: value for base in bases for n, value in vars(base).items() if type(value) in _CONSTANTS}


def _slots(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots


def is_record(item: Any) -> bool:
    """Whether an object is made to hold settings: a namespace, or an instance of a dataclass or the like."""
    kind = type(item)
    is_namespace = (
        isinstance(item, SimpleNamespace) or f"{kind.__module__}.{kind.__name__}" == "argparse.Namespace"
    )
    if isinstance(item, Mapping | Tensor | nn.Module | type):
        return False
    return is_namespace or any(hasattr(kind, mark) for mark in _MARKS)


def is_frozen(item: Any) -> bool:
    """Whether a record is a dataclass whose fields no code may assign to."""
    parameters = getattr(type(item), "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen)
