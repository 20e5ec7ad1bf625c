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

from planc.ir.graph import SymNumber, Value, WeightRef
from planc.torch.capture.boundary_aliases import BoundaryAliases
from planc.torch.capture.decompose import decomposed, is_decomposed
from planc.torch.capture.encode_arguments import ArgumentEncoder
from planc.torch.capture.fake_workarounds import pin_random_scalar
from planc.torch.capture.op_names import DATA_READS, GRADIENT_ACCESS, is_in_place, op_name, reads_size
from planc.torch.capture.size_leaks import has_plain_value, reveals_size, tracked_strides
from planc.torch.capture.tensor_table import is_fake_constant, mutation_count, tensors_in
from planc.torch.capture.trace_records import ModuleCall, RecordedOp
from planc.torch.capture.tracked_arithmetic import TrackedInt, tracked_numbers, untrack
from planc.torch.compat import dispatch_mode_depth, function_mode_depth


class Recorder(ArgumentEncoder, TorchFunctionMode):
    """Records one forward pass."""

    def __init__(self, model: nn.Module, beside: Mapping[int, Tensor]) -> None:
        TorchFunctionMode.__init__(self)
        ArgumentEncoder.__init__(self, model, beside)
        self.root: ModuleCall | None = None
        self.call_count = 0
        self.last_op = ""
        """What was called last: where a run ends early, it is to blame."""
        self._modes = 0
        """How many modes of others see what an operation does, before any code of the model runs."""
        self._names: dict[int, list[str]] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            self._names.setdefault(id(module), []).append(name)

    @property
    def is_listening(self) -> bool:
        """Whether the code that runs is the model's, not torch's."""
        return bool(self.frames) and function_mode_depth() > 0

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
        if is_decomposed(func):
            with self, decomposed():
                return func(*args, **keywords)
        if reads_size(func):
            dims = (*args[1:], *keywords.values())
            return self._size(args[0], func(*untrack(tuple(args)), **untrack(keywords)), dims)
        name = op_name(func)
        if name is None:
            return self._aside(func, args, keywords)
        return self.record(name, func, args, keywords)

    def _size(self, tensor: Tensor, result: Any, dims: Sequence[Any]) -> Any:
        said = self.encode(tensor)

        def tracked(size: int, dim: int) -> TrackedInt:
            return TrackedInt(size, SymNumber("size", (said, dim), size), self)

        self.mark_escaped((), dims)
        if isinstance(result, int):
            return tracked(result, int(untrack(dims[0])) % tensor.dim())
        sizes: list[Any] = [tracked(size, dim) for dim, size in enumerate(result)]
        return torch.Size(sizes)

    def _aside(self, func: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """A call that computes nothing of a tensor, but may give a number."""
        name = getattr(func, "__name__", "")
        if name == "__get__":
            name = getattr(getattr(func, "__self__", None), "__name__", "")
        if name in DATA_READS:
            self.last_op = name
        if name in GRADIENT_ACCESS:  # what becomes of gradients is out of sight
            self.frames[-1].steps.append(RecordedOp(name, (self.encode(args[0]),), {}, [], effect=True))
        if name == "nbytes":
            return self.tracked_numel(args[0]) * args[0].element_size()
        result = self._call(func, args, keywords)
        if name == "__len__":  # `len` gives a plain int whatever we say
            self.note("number.lost", (SymNumber("len", (self.encode(args[0]),), result),))
            return result
        if name == "stride" and len(args) == 1 and not keywords:
            found = tracked_strides(self._size(args[0], args[0].shape, ()), result)
            if found is not None:
                return found
        self._see(name, args, keywords, result)
        return result

    def record(
        self, name: str, func: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """Call a function, and write down what it was given and gave."""
        self.last_op = name
        given = list(tensors_in((args, keywords)))
        if name in ("numel", "nelement"):
            return self.tracked_numel(args[0] if args else keywords["input"])
        if dispatch_mode_depth() != self._modes:
            name = f"{name} under a mode"  # which may do something else instead
        # Arguments first: an operation in place gives its tensor a new number.
        said = self.encode(tuple(args)), self.encode(dict(keywords))
        versions = [mutation_count(tensor) for tensor in given]
        result = self._call(func, args, keywords)
        pin_random_scalar(name, result)
        self._see(name, args, keywords, result)
        if is_in_place(name):
            changed = given[:1]
        else:
            changed = [t for t, version in zip(given, versions) if mutation_count(t) != version]
        self._trace(given, (args, keywords), (*tensors_in(result), *changed))
        self._write(name, said, given, changed, result)
        return result

    def _call(self, func: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        try:
            return func(*untrack(tuple(args)), **untrack(dict(keywords)))
        except Exception:
            # The code may have a way around it, which sizes may decide.
            self.mark_escaped(tensors_in((args, keywords)), (args, keywords))
            raise

    def _see(self, name: str, args: Sequence[Any], keywords: Mapping[str, Any], result: Any) -> None:
        """Note what numbers are in a result that is none of ours."""
        given = list(tensors_in((args, keywords)))
        if reveals_size(name, result):
            self.mark_escaped(given, ())
        if has_plain_value(result):
            self.mark_escaped((), (args, keywords))
            for number in self.table.origins_of(given):
                self.note("number.lost", (number,))

    def _trace(self, given: Sequence[Tensor], arguments: Any, made: Iterable[Tensor]) -> None:
        """Keep what numbers are behind a constant: code may take it out of its tensor."""
        constants = [tensor for tensor in made if is_fake_constant(tensor)]
        if constants:
            sources = [number.source for number in tracked_numbers(arguments)]
            sources += [self.numel_origin(tensor) for tensor in given if not is_fake_constant(tensor)]
            self.table.set_origins(constants, [*sources, *self.table.origins_of(given)])

    def _write(
        self, name: str, said: tuple[Any, Any], given: list[Tensor], changed: list[Tensor], result: Any
    ) -> None:
        old = {id(tensor) for tensor in given} - {id(tensor) for tensor in changed}
        # What it gave back as it came is no result: `x.to(x.dtype)` does nothing.
        fresh = {id(t): t for t in (*tensors_in(result), *changed) if id(t) not in old}
        if not fresh:
            if name.startswith("autograd.Function."):
                self.mark_escaped(given, ())  # it may have left a size somewhere
            return
        frame = self.frames[-1]
        effect = any(id(tensor) in self.table.weights for tensor in changed)
        versions = [self.table.version(tensor) for tensor in changed]
        results = [self.table.add(tensor, frame.number) for tensor in fresh.values()]
        frame.steps.append(RecordedOp(name, *said, results, effect))
        for tensor, version in zip(changed, versions, strict=True):
            self._spoil(tensor, version, frame)

    def _spoil(self, changed: Tensor, version: int, frame: ModuleCall) -> None:
        """Give new numbers to what shares its storage with a changed tensor: `aliased` takes
        the changed one and what the others were, and gives what the others are."""
        others = self.table.sharing_storage(changed)
        if not others:
            return
        for tensor in others:
            self.table.keep_number(tensor, version)
        self.table.set_origins(others, list(self.table.origins_of([changed])))
        said = (self.encode(changed), *(self.encode(tensor) for tensor in others))
        effect = any(id(tensor) in self.table.weights for tensor in others)
        results = [self.table.add(tensor, frame.number) for tensor in others]
        frame.steps.append(RecordedOp("aliased", said, {}, results, effect))

    # ---- modules ---------------------------------------------------------------

    def begin_call(
        self, module: nn.Module, args: tuple[Any, ...], keywords: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A module is called. Gives what it is handed, under names of its own: what the code
        in it finds elsewhere has passed no boundary."""
        said = self.encode(args), self.encode(dict(keywords))
        frame = ModuleCall(self.call_count, self._name(module), *said)
        self.call_count += 1
        if not self.frames:
            self.root, self._modes = frame, dispatch_mode_depth()
            self.frames.append(frame)
            return args, dict(keywords)
        self.frames[-1].steps.append(frame)
        self.frames.append(frame)
        names = BoundaryAliases(self.table, frame.number, frame.input_aliases, frame.shared_inputs)
        handed = [names.alias_tensors(part) for part in args]
        return tuple(handed), {key: names.alias_tensors(part) for key, part in keywords.items()}

    def end_call(self, result: Any, *, unshared: bool) -> Any:
        """The module that was called last returns. Gives what it hands back, under names of the caller's:
        what it keeps elsewhere passes no boundary.

        Args:
            result: what it returns.
            fresh: whether nobody else holds that.
        """
        frame = self.frames[-1]
        if len(self.frames) == 1:
            self.mark_escaped((), result)  # what the caller does with it is out of sight
        frame.result, frame.last_call = self.encode(result), self.call_count - 1
        self.frames.pop()
        if not self.frames:
            return result
        names = BoundaryAliases(
            self.table, self.frames[-1].number, frame.output_aliases, frame.shared_outputs
        )
        return names.alias_tensors(result, unshared=unshared)

    def encode_after_run(self, tensor: Tensor) -> Value | WeightRef:
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
