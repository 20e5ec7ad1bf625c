"""Small plain models, with a right plan for each, and many variants of each model.

A variant has the plan of its net: for some it is right, for others wrong, and numbers say which.
"""

from __future__ import annotations

from importlib import import_module

from tests.hunt.nets.net import Net

FILES = ("decoder", "sizes", "heads", "fused", "norms", "calls", "others", "losses", "layers")
_EVERY: dict[str, Net] = {}
for _file in FILES:
    _EVERY |= import_module(f"{__name__}.{_file}").TABLE

NETS = {name: net for name, net in _EVERY.items() if not net.settings}
"""The nets as they stand, with plans that are right."""
VARIANTS = {name: net for name, net in _EVERY.items() if net.settings}
"""Their variants, `NET_VARIANT`, with the plan of the net."""
