"""Lets code that knows fake tensors take the way that it takes in a training run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


@contextmanager
def as_in_training(keywords: Mapping[str, Any]) -> Iterator[None]:
    """transformers looks whether position ids start anew in a row, as they do where several
    texts are packed into one; on fake tensors it cannot look, and assumes it. Nothing is
    packed where nobody gives position ids."""
    masks: Any = sys.modules.get("transformers.masking_utils")
    if masks is None or "position_ids" in keywords or not hasattr(masks, "find_packed_sequence_indices"):
        yield
        return
    original = masks.find_packed_sequence_indices
    masks.find_packed_sequence_indices = lambda *_, **__: None
    try:
        yield
    finally:
        masks.find_packed_sequence_indices = original
