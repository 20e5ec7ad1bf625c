"""planc with `overlap`: matrix products run while their input is gathered."""

from __future__ import annotations

from rivals import with_planc
from rivals.rival import Rival
from rivals.setting import Setting


def build(setting: Setting) -> Rival:
    """A model split by the plan."""
    return with_planc.build(setting, "tensor tp { overlap: true }\n")
