"""A captured graph, run again with real tensors: what it leaves out would be missed here."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from planc.ir.graph import Call, Function, ModelGraph, Op, Slice, SymNumber, TorchConstant, Value, WeightRef

PROPERTIES = ("T", "mT", "H", "mH", "real", "imag", "data")
COMPUTE = {
    name: getattr(operator, name)
    for name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "neg", "pow")
}


class Replay:
    """Runs the functions of a graph with the weights of a model."""

    def __init__(self, graph: ModelGraph, model: nn.Module) -> None:
        self.graph = graph
        self.weights = {
            **dict(model.named_parameters(remove_duplicate=False)),
            **dict(model.named_buffers(remove_duplicate=False)),
        }

    def run(self, inputs: Sequence[Tensor]) -> Any:
        """What the model returns."""
        return Body(self, self.graph.main_function, "", inputs).returned()


class Body:
    """One call of a function."""

    def __init__(self, replay: Replay, function: Function, module: str, inputs: Sequence[Tensor]) -> None:
        assert len(inputs) == function.inputs
        self.replay, self.function, self.module = replay, function, module
        self.tensors: list[Tensor] = list(inputs)
        for step in function.steps:
            made = self._call(step) if isinstance(step, Call) else self._op(step)
            assert len(made) == len(step.results), step
            self.tensors += made
            for number in step.results:
                info, tensor = function.tensors[number], self.tensors[number]
                assert tuple(tensor.shape) == info.shape, (step, tensor.shape, info)
                assert str(tensor.dtype) == f"torch.{info.dtype}", (step, tensor.dtype, info)

    def returned(self) -> Any:
        return self._real(self.function.result)

    def _call(self, step: Call) -> list[Tensor]:
        handed = dict.fromkeys(_values((step.arguments, step.keywords)))
        inputs = [self.tensors[number] for number in (*handed, *step.free_tensors)]
        function = self.replay.graph.functions[step.function]
        inner = Body(self.replay, function, self._path(step.module), inputs)
        return [inner.tensors[number] for number in function.exports]

    def _op(self, step: Op) -> list[Tensor]:
        arguments, keywords = self._real(step.arguments), self._real(step.keywords)
        if step.name.startswith("number.") or step.name == "attribute.changed":
            return []
        if step.name == "aliased":
            return list(arguments[1:])  # they lie in the memory that was written to
        result = called(step.name, arguments, keywords)
        if result is None:
            return [arguments[0]]
        return (
            [result] if isinstance(result, Tensor) else [part for part in result if isinstance(part, Tensor)]
        )

    def _path(self, name: str) -> str:
        if name.startswith("/"):
            return name[1:]
        return ".".join(part for part in (self.module, name) if part)

    def _real(self, item: Any) -> Any:
        if isinstance(item, Value):
            return self.tensors[item.number]
        if isinstance(item, WeightRef):
            return self.replay.weights[self._path(item.name)]
        if isinstance(item, SymNumber):
            return self._number(item)
        if isinstance(item, Slice):
            return slice(*(self._real(part) for part in (item.start, item.stop, item.step)))
        if isinstance(item, TorchConstant):
            found = getattr(torch, item.text, None)
            constants = (torch.dtype, torch.layout, torch.memory_format)
            return Ellipsis if item.text == "..." else found if isinstance(found, constants) else item.text
        if isinstance(item, tuple):
            return tuple(self._real(part) for part in item)
        if isinstance(item, Mapping):
            return {key: self._real(value) for key, value in item.items()}
        return item

    def _number(self, number: SymNumber) -> Any:
        """A number, computed from the tensors that are there now."""
        if number.op == "attribute":
            return number.captured
        arguments = [self._real(part) for part in number.arguments]
        if number.op == "size":
            value = arguments[0].shape[arguments[1]]
        elif number.op in ("numel", "len"):
            value = arguments[0].numel() if number.op == "numel" else len(arguments[0])
        else:
            value = COMPUTE[number.op](*arguments)
        assert value == number.captured, number
        return value


def called(name: str, arguments: Any, keywords: Mapping[str, Any]) -> Any:
    """The result of a function of torch."""
    if name in PROPERTIES:
        return getattr(arguments[0], name)
    if name == "where" and arguments[0].dtype is torch.bool:
        return torch.where(*arguments, **keywords)
    homes = [home for home in (functional, Tensor, torch) if hasattr(home, name)]
    assert homes, f"torch has no {name}"
    fault: TypeError | None = None
    for home in homes:
        try:
            return getattr(home, name)(*arguments, **keywords)
        except TypeError as bad:
            fault = bad
    raise AssertionError(f"{name}: {fault}")


def _values(item: Any) -> Iterator[int]:
    """The tensors that are handed over; a number is handed over as such."""
    if isinstance(item, Value):
        yield item.number
    elif isinstance(item, tuple):
        for part in item:
            yield from _values(part)
    elif isinstance(item, Mapping):
        yield from _values(tuple(item.values()))


def leaves(item: Any) -> Iterator[Tensor]:
    """The tensors of what a model returns, in order."""
    if isinstance(item, Tensor):
        yield item
    elif isinstance(item, Mapping):
        for part in item.values():
            yield from leaves(part)
    elif isinstance(item, list | tuple):
        for part in item:
            yield from leaves(part)
