"""What a recorder knows of tensors: their numbers, their weights' names, their storages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from planc.ir.graph import SymNumber, TensorInfo
from planc.ir.tree import Dataclass, leaves
from planc.torch import compat
from planc.torch.capture.trace_records import TraceTensors
from planc.torch.compat import DisableTorchFunction, FakeTensor

MAX_DEPTH = 20
"""Levels of nested arguments that are looked at: a list may hold itself."""
RUNTIME_NODES: tuple[type, ...] = (tuple, list, slice, Mapping, Dataclass)
"""The containers in which code passes tensors."""


class TensorTable:
    """Numbers tensors, and keeps each alive, so that no other one gets its identity."""

    def __init__(self, model: nn.Module) -> None:
        self.tensors = TraceTensors()
        self.weights: dict[int, str] = {}
        """The first name of a weight, by its identity."""
        self._numbers: dict[int, int] = {}
        self._behind: dict[int, tuple[Tensor, list[SymNumber]]] = {}
        self._storages: dict[int, list[Tensor]] = {}
        self._states: dict[int, tuple[int, int]] = {}
        """What `state_of` said of a tensor when it got its number."""
        for named in (model.named_parameters, model.named_buffers):
            for name, weight in named(remove_duplicate=False):
                if id(weight) not in self.weights:
                    self.weights[id(weight)] = name
                    self._shelve(weight)

    def number(self, tensor: Tensor) -> int | None:
        """The number of a tensor as it is now; None: it is a weight, or has none yet."""
        number = self._numbers.get(id(tensor))
        if number is None or self.was_mutated(tensor):
            return None
        # A gradient that was asked for later is its own; one that was written into it is not.
        late = tensor.requires_grad and not self.tensors.infos[number].grad
        if late and not mutation_count(tensor):
            self.tensors.infos[number] = tensor_info(tensor)
        return number

    def weight(self, tensor: Tensor) -> str | None:
        """The name of a weight that was not changed so far."""
        if id(tensor) in self._numbers or id(tensor) not in self.weights or self.was_mutated(tensor):
            return None
        return self.weights[id(tensor)]

    def was_mutated(self, tensor: Tensor) -> bool:
        """Whether something has changed a tensor, and no operation in sight."""
        return self._states[id(tensor)] != mutation_state(tensor)

    def version(self, tensor: Tensor) -> int:
        """How often a tensor had been written to when it got its number."""
        return self._states[id(tensor)][0] if id(tensor) in self._states else 0

    def keep_number(self, tensor: Tensor, version: int) -> None:
        """An operation in sight has written to what had this version: what else had it keeps its number so far."""
        if self.version(tensor) == version:
            self._states[id(tensor)] = mutation_state(tensor)

    def add(self, tensor: Tensor, maker: int) -> int:
        """Give a tensor a new number: it is new, or its content is."""
        state = self._states.get(id(tensor))
        if state is None or state[1] != storage_id(tensor):
            self._shelve(tensor)
        self._states[id(tensor)] = mutation_state(tensor)
        number = self._numbers[id(tensor)] = self.tensors.add(tensor_info(tensor), maker)
        return number

    def set_origins(self, constants: Iterable[Tensor], sources: list[SymNumber]) -> None:
        """Remember what numbers are behind constants."""
        for tensor in constants if sources else ():
            self._behind[id(tensor)] = tensor, [*self.origins_of([tensor]), *sources]

    def origins_of(self, tensors: Iterable[Tensor]) -> Iterator[SymNumber]:
        """What numbers are behind tensors that are constants."""
        for tensor in tensors:
            if id(tensor) in self._behind:
                yield from self._behind[id(tensor)][1]

    def sharing_storage(self, tensor: Tensor) -> list[Tensor]:
        """The other tensors on the storage of this one."""
        return [other for other in self._storages[storage_id(tensor)] if other is not tensor]

    def _shelve(self, tensor: Tensor) -> None:
        self._states[id(tensor)] = state = mutation_state(tensor)
        self._storages.setdefault(state[1], []).append(tensor)


def storage_id(tensor: Tensor) -> int:
    """The identity of a storage; a tensor that has none stands for itself."""
    with DisableTorchFunction():
        try:
            return compat.storage_id(tensor)
        except (RuntimeError, NotImplementedError):
            return id(tensor)


def mutation_state(tensor: Tensor) -> tuple[int, int]:
    """What changes where its content does."""
    return mutation_count(tensor), storage_id(tensor)


def is_fake_constant(tensor: Tensor) -> bool:
    """Whether a fake tensor keeps its numbers: `torch.tensor([n]).item()` gives `n`."""
    return isinstance(tensor, FakeTensor) and tensor.constant is not None


def mutation_count(tensor: Tensor) -> int:
    """How often it was written to; 0 where nobody counts."""
    with DisableTorchFunction():
        try:
            return compat.mutation_count(tensor)
        except RuntimeError:
            return 0


def tensor_info(tensor: Tensor) -> TensorInfo:
    """What the graph keeps of a tensor."""
    with DisableTorchFunction():
        dtype = str(tensor.dtype).removeprefix("torch.")
        return TensorInfo(tuple(map(int, tensor.shape)), dtype, bool(tensor.requires_grad))


def tensors_in(item: Any) -> list[Tensor]:
    """The tensors of arguments or results, in order."""
    return leaves(item, Tensor, into=RUNTIME_NODES, max_depth=MAX_DEPTH)
