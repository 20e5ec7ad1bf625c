"""What a recorder knows about tensors: their numbers, the names of weights, and who shares a storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from planc.ir.graph import SymNumber, TensorInfo
from planc.ir.tree import Dataclass, leaves
from planc.torch.capture.trace_records import TraceTensors
from planc.torch.compat import DisableTorchFunction, FakeTensor, mutation_count, storage_id

MAX_DEPTH = 20
"""Levels of nested arguments that are searched: a list may hold itself."""
RUNTIME_NODES: tuple[type, ...] = (tuple, list, slice, Mapping, Dataclass)
"""The containers in which code passes tensors."""


class TensorTable:
    """Numbers tensors. It keeps each one alive, so that no other object gets its identity."""

    def __init__(self, model: nn.Module) -> None:
        self.tensors = TraceTensors()
        self.weights: dict[int, str] = {}
        """The first name of a weight, by its identity."""
        self.weight_versions: dict[int, str] = {}
        """The weight of each number that a write to one has given."""
        self._numbers: dict[int, int] = {}
        self._origins: dict[int, tuple[Tensor, list[SymNumber]]] = {}
        self._storages: dict[int, list[Tensor]] = {}
        self._states: dict[int, tuple[int, int]] = {}
        """The `mutation_state` of a tensor when it got its number."""
        for named in (model.named_parameters, model.named_buffers):
            for name, weight in named(remove_duplicate=False):
                if id(weight) not in self.weights:
                    self.weights[id(weight)] = name
                    self._track(weight)

    def number(self, tensor: Tensor) -> int | None:
        """The number of a tensor with its present content; None: it is a weight, or has none yet."""
        number = self._numbers.get(id(tensor))
        if number is None or self.was_mutated(tensor):
            return None
        # Code may ask for a gradient later; a gradient that came with a write belongs to another number.
        asks_later = tensor.requires_grad and not self.tensors.infos[number].grad
        if asks_later and not mutation_count(tensor):
            self.tensors.infos[number] = tensor_info(tensor)
        return number

    def weight(self, tensor: Tensor) -> str | None:
        """The name of a weight that nothing has changed so far; None: it is not one."""
        if id(tensor) in self._numbers or id(tensor) not in self.weights or self.was_mutated(tensor):
            return None
        return self.weights[id(tensor)]

    def was_mutated(self, tensor: Tensor) -> bool:
        """Whether a tensor has changed since it got its number, without a recorded operation."""
        return self._states[id(tensor)] != mutation_state(tensor)

    def version(self, tensor: Tensor) -> int:
        """The mutation count that a tensor had when it got its number."""
        return self._states[id(tensor)][0] if id(tensor) in self._states else 0

    def keep_number(self, tensor: Tensor, version: int) -> None:
        """A recorded operation has written to the storage of a tensor that had this version: let the tensor keep
        its number for now."""
        if self.version(tensor) == version:
            self._states[id(tensor)] = mutation_state(tensor)

    def add(self, tensor: Tensor, call: int) -> int:
        """Give a tensor a new number, since it or its content is new.

        Args:
            tensor: the tensor.
            call: the number of the call that made it.
        """
        state = self._states.get(id(tensor))
        if state is None or state[1] != storage_id(tensor):
            self._track(tensor)
        self._states[id(tensor)] = mutation_state(tensor)
        number = self._numbers[id(tensor)] = self.tensors.add(tensor_info(tensor), call)
        if id(tensor) in self.weights:
            self.weight_versions[number] = self.weights[id(tensor)]
        return number

    def set_origins(self, constants: Iterable[Tensor], origins: list[SymNumber]) -> None:
        """Remember the numbers that constants are computed from."""
        for tensor in constants if origins else ():
            self._origins[id(tensor)] = tensor, [*self.origins_of([tensor]), *origins]

    def origins_of(self, tensors: Iterable[Tensor]) -> Iterator[SymNumber]:
        """The numbers that those of the tensors that are constants are computed from."""
        for tensor in tensors:
            if id(tensor) in self._origins:
                yield from self._origins[id(tensor)][1]

    def sharing_storage(self, tensor: Tensor) -> list[Tensor]:
        """The other tensors on the storage of this one."""
        return [other for other in self._storages[storage_id(tensor)] if other is not tensor]

    def _track(self, tensor: Tensor) -> None:
        self._states[id(tensor)] = state = mutation_state(tensor)
        self._storages.setdefault(state[1], []).append(tensor)


def mutation_state(tensor: Tensor) -> tuple[int, int]:
    """The mutation count and the storage: they change with the content."""
    return mutation_count(tensor), storage_id(tensor)


def is_fake_constant(tensor: Tensor) -> bool:
    """Whether a fake tensor keeps its values: `torch.tensor([n]).item()` gives `n`."""
    return isinstance(tensor, FakeTensor) and tensor.constant is not None


def tensor_info(tensor: Tensor) -> TensorInfo:
    """Shape, dtype and whether a gradient flows to a tensor."""
    with DisableTorchFunction():
        dtype = str(tensor.dtype).removeprefix("torch.")
        return TensorInfo(tuple(map(int, tensor.shape)), dtype, bool(tensor.requires_grad))


def tensors_in(item: Any) -> list[Tensor]:
    """The tensors in arguments or results, in order."""
    return leaves(item, Tensor, into=RUNTIME_NODES, max_depth=MAX_DEPTH)
