"""Canaries: checks of private names, each of which says what breaks in planc where the name changes."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

Check = Callable[[], object]


class Canaries:
    """The canaries of one `compat` module."""

    def __init__(self, compat: ModuleType, library: str) -> None:
        self.compat, self.library = compat, library
        self._checks: dict[str, tuple[str, Check]] = {}

    def check(self, *names: str, breaks: str) -> Callable[[Check], Check]:
        """Register a check of these names of `compat`; `breaks` says what does not work without them."""

        def register(function: Check) -> Check:
            self._checks.update((name, (breaks, function)) for name in names)
            return function

        return register

    def run(self, name: str) -> None:
        """Run the canary of a name."""
        assert name in self._checks, f"{self.compat.__name__}.{name} has no canary"
        breaks, function = self._checks[name]
        try:
            function()
        except Exception as bad:  # noqa: BLE001  # whatever it is, the name changed
            what = f"{self.compat.__name__}.{name} does not work with {self.library}"
            pytest.fail(f"{what}; this breaks {breaks} ({type(bad).__name__}: {bad})")
