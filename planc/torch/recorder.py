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

from planc.ir.graph import Number, Value, Weight
from planc.torch.aliases import Names
from planc.torch.calls import OF_GRADIENTS, TAKING, is_in_place, name_of, reads_size
from planc.torch.composite import inside, is_composite
from planc.torch.describe import Describer
from planc.torch.eager import settle_chance
from planc.torch.numbers import TrackedInt, numbers_in, plain
from planc.torch.taken import is_plain, strides, tells_size
from planc.torch.tensors import is_constant, tensors_in, version_of
from planc.torch.tree import Frame, Step


class Recorder(Describer, TorchFunctionMode):
    """Records one forward pass."""

    def __init__(self, model: nn.Module, beside: Mapping[int, Tensor]) -> None:
        TorchFunctionMode.__init__(self)
        Describer.__init__(self, model, beside)
        self.root: Frame | None = None
        self.calls = 0
        self.operation = ""
        """What was called last: where a run ends early, it is to blame."""
        self._modes = 0
        """How many modes of others see what an operation does, before any code of the model runs."""
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
            dims = (*args[1:], *keywords.values())
            return self._size(args[0], func(*plain(tuple(args)), **plain(keywords)), dims)
        name = name_of(func)
        if name is None:
            return self._aside(func, args, keywords)
        return self.record(name, func, args, keywords)

    def _size(self, tensor: Tensor, result: Any, dims: Sequence[Any]) -> Any:
        said = self.said(tensor)

        def tracked(size: int, dim: int) -> TrackedInt:
            return TrackedInt(size, Number("size", (said, dim), size), self)

        self.lose((), dims)
        if isinstance(result, int):
            return tracked(result, int(plain(dims[0])) % tensor.dim())
        sizes: list[Any] = [tracked(size, dim) for dim, size in enumerate(result)]
        return torch.Size(sizes)

    def _aside(self, func: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """A call that computes nothing of a tensor, but may give a number."""
        name = getattr(func, "__name__", "")
        if name == "__get__":
            name = getattr(getattr(func, "__self__", None), "__name__", "")
        if name in TAKING:
            self.operation = name
        if name in OF_GRADIENTS:  # what becomes of gradients is out of sight
            self.frames[-1].steps.append(Step(name, (self.said(args[0]),), {}, [], effect=True))
        if name == "nbytes":
            return self.numel(args[0]) * args[0].element_size()
        result = self._call(func, args, keywords)
        if name == "__len__":  # `len` gives a plain int whatever we say
            self.note("number.lost", (Number("len", (self.said(args[0]),), result),))
            return result
        if name == "stride" and len(args) == 1 and not keywords:
            found = strides(self._size(args[0], args[0].shape, ()), result)
            if found is not None:
                return found
        self._see(name, args, keywords, result)
        return result

    def record(
        self, name: str, func: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """Call a function, and write down what it was given and gave."""
        self.operation = name
        given = list(tensors_in((args, keywords)))
        if name in ("numel", "nelement"):
            return self.numel(args[0] if args else keywords["input"])
        if torch._C._len_torch_dispatch_stack() != self._modes:
            name = f"{name} under a mode"  # which may do something else instead
        # Arguments first: an operation in place gives its tensor a new number.
        said = self.said(tuple(args)), self.said(dict(keywords))
        versions = [version_of(tensor) for tensor in given]
        result = self._call(func, args, keywords)
        settle_chance(name, result)
        self._see(name, args, keywords, result)
        if is_in_place(name):
            changed = given[:1]
        else:
            changed = [t for t, version in zip(given, versions) if version_of(t) != version]
        self._trace(given, (args, keywords), (*tensors_in(result), *changed))
        self._write(name, said, given, changed, result)
        return result

    def _call(self, func: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        try:
            return func(*plain(tuple(args)), **plain(dict(keywords)))
        except Exception:
            # The code may have a way around it, which sizes may decide.
            self.lose(tensors_in((args, keywords)), (args, keywords))
            raise

    def _see(self, name: str, args: Sequence[Any], keywords: Mapping[str, Any], result: Any) -> None:
        """Note what numbers are in a result that is none of ours."""
        given = list(tensors_in((args, keywords)))
        if tells_size(name, result):
            self.lose(given, ())
        if is_plain(result):
            self.lose((), (args, keywords))
            for number in self.ledger.behind(given):
                self.note("number.lost", (number,))

    def _trace(self, given: Sequence[Tensor], arguments: Any, made: Iterable[Tensor]) -> None:
        """Keep what numbers are behind a constant: code may take it out of its tensor."""
        constants = [tensor for tensor in made if is_constant(tensor)]
        if constants:
            sources = [number.source for number in numbers_in(arguments)]
            sources += [self.numel_of(tensor) for tensor in given if not is_constant(tensor)]
            self.ledger.rest_on(constants, [*sources, *self.ledger.behind(given)])

    def _write(
        self, name: str, said: tuple[Any, Any], given: list[Tensor], changed: list[Tensor], result: Any
    ) -> None:
        old = {id(tensor) for tensor in given} - {id(tensor) for tensor in changed}
        # What it gave back as it came is no result: `x.to(x.dtype)` does nothing.
        fresh = {id(t): t for t in (*tensors_in(result), *changed) if id(t) not in old}
        if not fresh:
            if name.startswith("autograd.Function."):
                self.lose(given, ())  # it may have left a size somewhere
            return
        frame = self.frames[-1]
        effect = any(id(tensor) in self.ledger.weights for tensor in changed)
        versions = [self.ledger.version(tensor) for tensor in changed]
        results = [self.ledger.add(tensor, frame.number) for tensor in fresh.values()]
        frame.steps.append(Step(name, *said, results, effect))
        for tensor, version in zip(changed, versions, strict=True):
            self._spoil(tensor, version, frame)

    def _spoil(self, changed: Tensor, version: int, frame: Frame) -> None:
        """Give new numbers to what shares its storage with a changed tensor: `aliased` takes
        the changed one and what the others were, and gives what the others are."""
        others = self.ledger.sharing(changed)
        if not others:
            return
        for tensor in others:
            self.ledger.follow(tensor, version)
        self.ledger.rest_on(others, list(self.ledger.behind([changed])))
        said = (self.said(changed), *(self.said(tensor) for tensor in others))
        effect = any(id(tensor) in self.ledger.weights for tensor in others)
        results = [self.ledger.add(tensor, frame.number) for tensor in others]
        frame.steps.append(Step("aliased", said, {}, results, effect))

    # ---- modules ---------------------------------------------------------------

    def begin(
        self, module: nn.Module, args: tuple[Any, ...], keywords: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A module is called. Gives what it is handed, under names of its own: what the code
        in it finds elsewhere has passed no boundary."""
        said = self.said(args), self.said(dict(keywords))
        frame = Frame(self.calls, self._name(module), *said)
        self.calls += 1
        if not self.frames:
            self.root, self._modes = frame, torch._C._len_torch_dispatch_stack()
            self.frames.append(frame)
            return args, dict(keywords)
        self.frames[-1].steps.append(frame)
        self.frames.append(frame)
        names = Names(self.ledger, frame.number, frame.entered, frame.held_by_others)
        handed = [names.renamed(part) for part in args]
        return tuple(handed), {key: names.renamed(part) for key, part in keywords.items()}

    def end(self, result: Any, *, fresh: bool) -> Any:
        """The module that was called last returns. Gives what it hands back, under names of the caller's:
        what it keeps elsewhere passes no boundary.

        Args:
            result: what it returns.
            fresh: whether nobody else holds that.
        """
        frame = self.frames[-1]
        if len(self.frames) == 1:
            self.lose((), result)  # what the caller does with it is out of sight
        frame.result, frame.last = self.said(result), self.calls - 1
        self.frames.pop()
        if not self.frames:
            return result
        names = Names(self.ledger, self.frames[-1].number, frame.given, frame.kept_by_others)
        return names.renamed(result, fresh=fresh)

    def said_after(self, tensor: Tensor) -> Value | Weight:
        """A tensor that is found when the run is over."""
        assert self.root is not None
        self.frames.append(self.root)
        said = self._tensor(tensor)
        self.frames.pop()
        return said

    def _name(self, module: nn.Module) -> str:
        """The name of a module; of several, one below the module that runs."""
        names = self._names[id(module)]
        caller = self.frames[-1].module if self.frames else ""
        return next((name for name in names if name.startswith(f"{caller}." if caller else "")), names[0])
