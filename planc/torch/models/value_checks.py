"""Lets the code of transformers run where tensors have no values: it asks for some that change nothing."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from planc.torch.compat import FAKE_TENSOR_LOGGER
from planc.torch.models.compat import masking_module

_CHECKS = "TRANSFORMERS_DISABLE_TORCH_CHECK"


@contextmanager
def without_value_checks(keywords: Mapping[str, Any]) -> Iterator[None]:
    """Run code of transformers without its checks of values, and with one text a row.

    Args:
        keywords: what the model is called with.
    """
    with _skip_value_checks(), _assume_unpacked_sequences(keywords):
        yield


@contextmanager
def quiet_fake_tensors() -> Iterator[None]:
    """Silence torch's log of operations that fail on fake tensors: planc itself reports a model that raises."""
    logger = logging.getLogger(FAKE_TENSOR_LOGGER)
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _skip_value_checks() -> Iterator[None]:
    """Let transformers skip its checks of values, as that a text has a token for each part of an image: they compute
    nothing, and have no answer on tensors without values."""
    before = os.environ.get(_CHECKS)
    os.environ[_CHECKS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CHECKS]
        else:
            os.environ[_CHECKS] = before


@contextmanager
def _assume_unpacked_sequences(keywords: Mapping[str, Any]) -> Iterator[None]:
    """Tell transformers that no row packs several texts, unless the caller passes position ids.

    transformers reads the values of position ids to find out; on fake tensors it cannot, and assumes that rows are
    packed.
    """
    masks = masking_module()
    if masks is None or "position_ids" in keywords:
        yield
        return
    original = masks.find_packed_sequence_indices
    masks.find_packed_sequence_indices = lambda *_, **__: None
    try:
        yield
    finally:
        masks.find_packed_sequence_indices = original
