"""What was seen of a run: calls within calls, with tensors numbered through the whole run.

Tensors get numbers of the run as they are made; names of weights and modules are whole.
Folding turns both into names and numbers of one function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from planc.ir.graph import Number, Slice, TensorInfo, Value


@dataclass
class Step:
    """One call of a torch function, or a use of a number."""

    name: str
    arguments: Any
    keywords: Any
    results: list[int]
    effect: bool = False
    """Whether it changes something that outlives the run, as a buffer."""


@dataclass
class Frame:
    """One call of a module."""

    number: int
    """Calls are numbered as they begin."""
    module: str
    arguments: Any
    keywords: Any
    steps: list[Step | Frame] = field(default_factory=list)
    result: Any = None
    entered: dict[int, int] = field(default_factory=dict)
    """Tensors that it was handed, and the numbers that they have in it."""
    held_by_others: dict[int, None] = field(default_factory=dict)
    """Tensors that it was handed in a list or the like, and that keep their numbers in it."""
    given: dict[int, int] = field(default_factory=dict)
    """Tensors that it handed back, and their numbers after the call."""
    kept_by_others: dict[int, None] = field(default_factory=dict)
    """Tensors that it handed back in a list or the like, and that keep their numbers."""
    last: int = 0
    """The number of the last call in it."""

    def holds(self, frame: int) -> bool:
        """Whether this call, or one in it, has that number."""
        return self.number <= frame <= self.last


@dataclass
class Tensors:
    """All tensors of a run, by number."""

    infos: list[TensorInfo] = field(default_factory=list)
    makers: list[int] = field(default_factory=list)
    """The numbers of the calls that made them; -1: they were handed to the model."""

    def add(self, info: TensorInfo, maker: int) -> int:
        self.infos.append(info)
        self.makers.append(maker)
        return len(self.infos) - 1


def numbers(item: Any) -> Iterator[int]:
    """The tensors that arguments name, in order; also those of which they know but the size."""
    if isinstance(item, Value):
        yield item.number
    elif isinstance(item, Number):
        yield from numbers(item.arguments)
    elif isinstance(item, Slice):
        yield from numbers((item.start, item.stop, item.step))
    elif isinstance(item, tuple):
        for part in item:
            yield from numbers(part)
    elif isinstance(item, Mapping):
        yield from numbers(tuple(item.values()))
