"""Records what a model calls: torch functions, and modules with their arguments.

A torch function mode sees every call of torch's Python interface, with the numbers that
the model's code passed; hooks see modules begin and end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from planc.ir.graph import Number, Other, Slice, Value, Weight
from planc.torch.calls import TAKING, is_in_place, name_of, reads_size
from planc.torch.composite import inside, is_composite
from planc.torch.eager import settle_chance
from planc.torch.numbers import TrackedInt, plain, type_of_tracked
from planc.torch.tensors import MAX_DEPTH, Ledger, parts_of, tensors_in, version_of
from planc.torch.tree import Frame, Step

MAX_CONSTANTS = 1000
"""Of a list; a longer one, such as a table of positions, is cut: no proof looks into it."""


class Recorder(TorchFunctionMode):
    """Records one forward pass."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.ledger = Ledger(model)
        self.frames: list[Frame] = []
        """The calls that run, outermost first."""
        self.root: Frame | None = None
        self.calls = 0
        self.operation = ""
        """What was called last: where a run ends early, it is to blame."""
        self._names: dict[int, list[str]] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            self._names.setdefault(id(module), []).append(name)

    @property
    def is_listening(self) -> bool:
        """Whether the code that runs is the model's, not torch's."""
        return bool(self.frames) and torch._C._len_torch_function_stack() > 0

    # ---- torch functions -------------------------------------------------------

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        keywords = dict(kwargs or {})
        if not self.frames:
            return func(*args, **keywords)
        if is_composite(func):
            with self, inside():
                return func(*args, **keywords)
        if reads_size(func):
            return self._size(
                args[0], func(*plain(tuple(args)), **plain(keywords)), (*args[1:], *keywords.values())
            )
        name = name_of(func)
        if name is None:
            return self._aside(func, args, keywords)
        return self.record(name, func, args, keywords)

    def _size(self, tensor: Tensor, result: Any, dims: Sequence[Any]) -> Any:
        said = self.said(tensor)

        def tracked(size: int, dim: int) -> TrackedInt:
            return TrackedInt(size, Number("size", (said, dim), size), self)

        if isinstance(result, int):
            return tracked(result, int(plain(dims[0])) % tensor.dim())
        return torch.Size([tracked(size, dim) for dim, size in enumerate(result)])

    def _aside(self, func: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """A call that computes nothing of a tensor, but may give a number."""
        name = getattr(func, "__name__", "")
        if name in TAKING:
            self.operation = name
        result = func(*plain(tuple(args)), **plain(dict(keywords)))
        if name == "__len__":  # `len` gives a plain int whatever we say
            self.note("number.lost", (Number("len", (self.said(args[0]),), result),))
        return result

    def record(
        self, name: str, func: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """Call a function, and write down what it was given and gave."""
        self.operation = name
        given = list(tensors_in((args, keywords)))
        if name in ("numel", "nelement"):
            size = func(*args, **keywords)
            return TrackedInt(size, Number("numel", (self.said(args[0]),), size), self)
        # Arguments first: an operation in place gives its tensor a new number.
        said = self.said(tuple(args)), self.said(dict(keywords))
        versions = [version_of(tensor) for tensor in given]
        result = func(*plain(tuple(args)), **plain(dict(keywords)))
        settle_chance(name, result)
        if is_in_place(name):
            changed = given[:1]
        else:
            changed = [t for t, version in zip(given, versions) if version_of(t) != version]
        self._write(name, said, given, changed, result)
        return result

    def _write(
        self, name: str, said: tuple[Any, Any], given: list[Tensor], changed: list[Tensor], result: Any
    ) -> None:
        old = {id(tensor) for tensor in given} - {id(tensor) for tensor in changed}
        # What it gave back as it came is no result: `x.to(x.dtype)` does nothing.
        fresh = {id(t): t for t in (*tensors_in(result), *changed) if id(t) not in old}
        if not fresh:
            return
        frame = self.frames[-1]
        effect = any(id(tensor) in self.ledger.weights for tensor in changed)
        results = [self.ledger.add(tensor, frame.number) for tensor in fresh.values()]
        frame.steps.append(Step(name, *said, results, effect))
        for tensor in changed:
            self._spoil(tensor, frame)

    def _spoil(self, changed: Tensor, frame: Frame) -> None:
        """Give new numbers to what shares its storage with a changed tensor: `aliased` takes
        the changed one and what the others were, and gives what the others are."""
        others = self.ledger.sharing(changed)
        if not others:
            return
        said = (self.said(changed), *(self.said(tensor) for tensor in others))
        effect = any(id(tensor) in self.ledger.weights for tensor in others)
        results = [self.ledger.add(tensor, frame.number) for tensor in others]
        frame.steps.append(Step("aliased", said, {}, results, effect))

    def note(self, name: str, arguments: tuple[Any, ...]) -> None:
        """A use of a number."""
        if self.frames:
            self.frames[-1].steps.append(Step(name, arguments, {}, []))

    # ---- modules ---------------------------------------------------------------

    def begin(self, module: nn.Module, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
        """A module is called."""
        said = self.said(args), self.said(dict(keywords))
        frame = Frame(self.calls, self._name(module), *said)
        self.calls += 1
        if self.frames:
            self.frames[-1].steps.append(frame)
        else:
            self.root = frame
        self.frames.append(frame)

    def end(self, result: Any) -> Any:
        """The module that was called last returns; what it hands back as it came is renamed,
        so that a change of layout at its exit does not reach back."""
        frame = self.frames[-1]
        frame.result, frame.last = self.said(result), self.calls - 1
        self.frames.pop()
        if not self.frames:
            return result
        if type(result) is tuple:
            return tuple([self._renamed(part, frame) for part in result])
        return self._renamed(result, frame)

    def _renamed(self, item: Any, frame: Frame) -> Any:
        number = self.ledger.number(item) if isinstance(item, Tensor) else None
        if number is None or frame.holds(self.ledger.tensors.makers[number]):
            return item
        with torch._C.DisableTorchFunction():
            alias = item.view_as(item)
        if number not in frame.given:
            frame.given[number] = self.ledger.add(alias, self.frames[-1].number)
        else:
            return item
        return alias

    def _name(self, module: nn.Module) -> str:
        """The name of a module; of several, one below the module that runs."""
        names = self._names[id(module)]
        caller = self.frames[-1].module if self.frames else ""
        return next((name for name in names if name.startswith(f"{caller}." if caller else "")), names[0])

    # ---- arguments -------------------------------------------------------------

    def said(self, item: Any, depth: int = 0) -> Any:
        """An argument as a graph keeps it, with numbers of the run and whole names."""
        if isinstance(item, Tensor):
            return self._tensor(item)
        if isinstance(item, type_of_tracked):
            return item.source
        if item is None or isinstance(item, bool | int | float | str):
            return item if type(item) in (bool, int, float, str, type(None)) else _constant(item)
        if isinstance(item, slice):
            return Slice(*(self.said(part) for part in (item.start, item.stop, item.step)))
        if depth > MAX_DEPTH:
            return Other(type(item).__name__)
        if isinstance(item, list | tuple):
            if len(item) > MAX_CONSTANTS and not any(tensors_in(item)):
                return Other(f"{len(item)} constants")
            return tuple([self.said(part, depth + 1) for part in item])
        if (parts := parts_of(item)) is not None:
            return {key: self.said(value, depth + 1) for key, value in parts.items()}
        return _constant(item)

    def _tensor(self, tensor: Tensor) -> Value | Weight:
        if (number := self.ledger.number(tensor)) is not None:
            return Value(number)
        if name := self.ledger.weight(tensor):
            return Weight(name)
        if not self.frames:
            return Value(self.ledger.add(tensor, -1))
        # Made by something that no mode sees: a proof must not guess what it holds.
        frame = self.frames[-1]
        number = self.ledger.add(tensor, frame.number)
        frame.steps.append(Step("opaque", (), {}, [number]))
        return Value(number)


def _constant(item: Any) -> Any:
    """A constant that is no text and no list; never an address."""
    if isinstance(item, torch.dtype | torch.device | torch.layout | torch.memory_format):
        return Other(str(item).removeprefix("torch."))
    if isinstance(item, str | int | float):  # an enumeration
        return next(kind(item) for kind in (str, int, float) if isinstance(item, kind))
    return Other("..." if item is Ellipsis else type(item).__name__)
