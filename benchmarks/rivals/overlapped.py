"""planc's side with `overlap`: products run beside the gather of what they take."""

from __future__ import annotations

from rivals import planned
from rivals.rival import Rival
from rivals.setting import Setting


def build(setting: Setting) -> Rival:
    """A model that a plan has split."""
    return planned.build(setting, "tensor tp { overlap: true }\n")
