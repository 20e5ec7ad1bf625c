"""What a recorder saw of a run: calls within calls, and the operations in them.

Tensors have numbers of the run, given as they are made; weights and modules have their full names. Deduplication
turns both into numbers and names of one function.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from planc.ir.graph import ARGUMENT_NODES, SymNumber, TensorInfo, Value
from planc.ir.tree import leaves, nodes


@dataclass
class OpRecord:
    """One call of a torch function, or a use of a number."""

    name: str
    arguments: Any
    keywords: Any
    results: list[int]
    effect: bool = False
    """Whether it changes something that outlives the run, such as a buffer."""
    writes: bool = False
    """Whether it changes a tensor in place."""
    line: str = ""
    """Where the model's code calls it, and that call, where numbers are among its arguments."""


@dataclass
class CallRecord:
    """One call of a module."""

    number: int
    """Calls are numbered in the order in which they begin."""
    module: str
    arguments: Any
    keywords: Any
    steps: list[OpRecord | CallRecord] = field(default_factory=list)
    result: Any = None
    input_aliases: dict[int, int] = field(default_factory=dict)
    """Tensors that the caller passes, and the numbers that they have inside."""
    shared_inputs: dict[int, None] = field(default_factory=dict)
    """Tensors that the caller passes in a list or another shared object: they keep their numbers inside."""
    output_aliases: dict[int, int] = field(default_factory=dict)
    """Tensors that the module returns, and the numbers that they have for the caller."""
    shared_outputs: dict[int, None] = field(default_factory=dict)
    """Tensors that the module returns in a list or another shared object: they keep their numbers."""
    target: Any = None
    """The module."""
    passed: tuple[tuple[Any, ...], dict[str, Any]] = field(default_factory=lambda: ((), {}))
    """The arguments that it gets, by position and by keyword."""
    mutable_inputs: Any = None
    """What lists, dictionaries and objects among them held when it began."""
    has_grad: bool = True
    """Whether autograd records it."""
    last_call: int = 0
    """The number of the last call inside."""

    def contains_call(self, number: int) -> bool:
        """Whether this call, or one inside, has that number."""
        return self.number <= number <= self.last_call

    def calls(self) -> Iterator[CallRecord]:
        """This call and all calls inside, in the order in which they began."""
        yield self
        for step in self.steps:
            if isinstance(step, CallRecord):
                yield from step.calls()


@dataclass
class TraceTensors:
    """All tensors of a run, by number."""

    infos: list[TensorInfo] = field(default_factory=list)
    made_by: list[int] = field(default_factory=list)
    """The numbers of the calls that made them; -1: inputs of the model."""

    def add(self, info: TensorInfo, call: int) -> int:
        """Give the next number to a tensor that a call has made."""
        self.infos.append(info)
        self.made_by.append(call)
        return len(self.infos) - 1


def sym_numbers(item: Any) -> list[SymNumber]:
    """The symbolic numbers in arguments, each before those that it is computed from."""
    return [node for _, node in nodes(item, into=ARGUMENT_NODES) if isinstance(node, SymNumber)]


def tensor_numbers(item: Any) -> Iterator[int]:
    """The tensors that arguments name, in order, including those of which they read only a size."""
    return (value.number for value in leaves(item, Value, into=ARGUMENT_NODES))
