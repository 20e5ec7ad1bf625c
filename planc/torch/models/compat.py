"""Every name of transformers that planc uses and that transformers does not document. No other file touches one.

All were seen in transformers 5.0 to 5.23. `tests/torch/test_compat.py` has a canary for each.
Nothing here imports transformers before a function is called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


def use_attention(config: Any, implementation: str) -> None:
    """Choose the attention kernel of a configuration; the public argument exists only where weights are loaded."""
    config._attn_implementation = implementation


def attention_of(config: Any) -> str | None:
    """The attention kernel of a configuration; None: transformers has not chosen one."""
    kernel: str | None = getattr(config, "_attn_implementation", None)
    return kernel


def has_sdpa(model: Any) -> bool:
    """Whether a class of models, or a model, can compute attention with `scaled_dot_product_attention`."""
    return bool(getattr(model, "_supports_sdpa", False))


def use_experts(config: Any, implementation: str) -> None:
    """Choose how experts are computed.

    Raises:
        AttributeError, ValueError: the configuration has no experts, or knows no such implementation.
    """
    config._experts_implementation = implementation


def masking_module() -> Any:
    """The module with `find_packed_sequence_indices`, which asks whether position ids start anew within a row;
    None where transformers is not loaded, or has no such function."""
    module = sys.modules.get("transformers.masking_utils")
    return module if hasattr(module, "find_packed_sequence_indices") else None


def stored_initializers() -> dict[str, Callable[..., Any]]:
    """The functions of `torch.nn.init` that transformers has stored, to call them behind its own; empty where
    transformers is not loaded."""
    stored: dict[str, Callable[..., Any]] = getattr(
        sys.modules.get("transformers.initialization"), "TORCH_INIT_FUNCTIONS", {}
    )
    return stored


def ignored_weight_patterns(model: Any) -> Sequence[str]:
    """Regular expressions of names in weight files that a model does not load."""
    return getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()


class WeightConversion(NamedTuple):
    """How transformers maps names in weight files to names in memory."""

    renamings: list[Any]
    """Rows that only rename."""
    converters: list[Any]
    """Rows that make one tensor of several."""
    sort_key: Callable[[str], Any]
    """Orders names so that layer 10 stands behind layer 9."""
    rename: Callable[..., tuple[str, str | None]]
    """A name in memory, and the pattern of the converter that makes it."""


def weight_conversion(model: Any) -> WeightConversion:
    """The mapping of names for the class of a model."""
    from transformers import conversion_mapping, core_model_loading

    rows = conversion_mapping.get_model_conversion_mapping(model)
    return WeightConversion(
        [row for row in rows if isinstance(row, core_model_loading.WeightRenaming)],
        [row for row in rows if isinstance(row, core_model_loading.WeightConverter)],
        core_model_loading.dot_natural_key,
        core_model_loading.rename_source_key,
    )


__all__ = [
    "WeightConversion",
    "attention_of",
    "has_sdpa",
    "ignored_weight_patterns",
    "masking_module",
    "stored_initializers",
    "use_attention",
    "use_experts",
    "weight_conversion",
]
