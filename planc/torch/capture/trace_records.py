"""What was seen of a run: calls within calls, with tensors numbered through the whole run.

Tensors get numbers of the run as they are made; names of weights and modules are whole.
Folding turns both into names and numbers of one function.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from planc.ir.graph import ARGUMENT_NODES, SymNumber, TensorInfo, Value
from planc.ir.tree import leaves, nodes


@dataclass
class RecordedOp:
    """One call of a torch function, or a use of a number."""

    name: str
    arguments: Any
    keywords: Any
    results: list[int]
    effect: bool = False
    """Whether it changes something that outlives the run, as a buffer."""


@dataclass
class ModuleCall:
    """One call of a module."""

    number: int
    """Calls are numbered as they begin."""
    module: str
    arguments: Any
    keywords: Any
    steps: list[RecordedOp | ModuleCall] = field(default_factory=list)
    result: Any = None
    input_aliases: dict[int, int] = field(default_factory=dict)
    """Tensors that it was handed, and the numbers that they have in it."""
    shared_inputs: dict[int, None] = field(default_factory=dict)
    """Tensors that it was handed in a list or the like, and that keep their numbers in it."""
    output_aliases: dict[int, int] = field(default_factory=dict)
    """Tensors that it handed back, and their numbers after the call."""
    shared_outputs: dict[int, None] = field(default_factory=dict)
    """Tensors that it handed back in a list or the like, and that keep their numbers."""
    last_call: int = 0
    """The number of the last call in it."""

    def contains_call(self, frame: int) -> bool:
        """Whether this call, or one in it, has that number."""
        return self.number <= frame <= self.last_call

    def calls(self) -> Iterator[ModuleCall]:
        """This call and all calls in it, in the order in which they began."""
        yield self
        for step in self.steps:
            if isinstance(step, ModuleCall):
                yield from step.calls()


@dataclass
class TraceTensors:
    """All tensors of a run, by number."""

    infos: list[TensorInfo] = field(default_factory=list)
    made_by: list[int] = field(default_factory=list)
    """The numbers of the calls that made them; -1: they were handed to the model."""

    def add(self, info: TensorInfo, maker: int) -> int:
        self.infos.append(info)
        self.made_by.append(maker)
        return len(self.infos) - 1


def sym_numbers(item: Any) -> list[SymNumber]:
    """The numbers with an origin in arguments, each before those that it is computed from."""
    return [node for _, node in nodes(item, into=ARGUMENT_NODES) if isinstance(node, SymNumber)]


def tensor_numbers(item: Any) -> Iterator[int]:
    """The tensors that arguments name, in order; also those of which they know but the size."""
    return (value.number for value in leaves(item, Value, into=ARGUMENT_NODES))
