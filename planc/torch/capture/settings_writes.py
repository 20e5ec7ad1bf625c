"""Writes to objects that hold settings, while a model runs.

A capture gives each module a copy of such an object, so what one module writes there no other would read.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

from planc.torch.capture.recorder import Recorder
from planc.torch.capture.trace_records import OpRecord
from planc.torch.capture.tracked_arithmetic import untrack

_MISSING = object()


class WatchedNamespace(SimpleNamespace):
    """A namespace whose class can be changed during a capture, which that of `SimpleNamespace` cannot."""


def copy_settings(holder: Any) -> Any:
    """A copy of an object that holds settings, whose writes `record_settings_writes` sees."""
    return WatchedNamespace(**vars(holder)) if type(holder) is SimpleNamespace else copy.copy(holder)


@contextmanager
def record_settings_writes(recorder: Recorder, copies: Mapping[int, Any]) -> Iterator[None]:
    """Record a step without a rule where code gives a setting another value.

    Args:
        recorder: gets the steps.
        copies: the copies that modules hold, by identity.
    """
    with ExitStack() as stack:
        for kind in {type(made) for made in copies.values()}:
            stack.enter_context(_watched_class(kind, recorder, copies))
        yield


@contextmanager
def _watched_class(kind: Any, recorder: Recorder, copies: Mapping[int, Any]) -> Iterator[None]:
    before = vars(kind).get("__setattr__", _MISSING)
    write = kind.__setattr__

    def watched(self: Any, name: str, value: Any) -> None:
        if id(self) in copies and recorder.is_listening:
            old = getattr(self, name, _MISSING)
            if old is not value and [untrack(old)] != [untrack(value)]:
                recorder.open_calls[-1].steps.append(
                    OpRecord("attribute.changed", (name,), {}, [], effect=True)
                )
        write(self, name, value)

    try:
        kind.__setattr__ = watched
    except TypeError:  # a class of C code: none of its objects is changed by Python's assignments
        yield
        return
    try:
        yield
    finally:
        if before is _MISSING:
            del kind.__setattr__
        else:
            kind.__setattr__ = before
