"""Records the torch functions and the modules that a model calls, with their arguments.

A torch function mode sees every call of torch's Python interface, with the numbers that the model's code passes;
hooks see modules begin and end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from planc.ir.graph import INDEX_NODES, SymNumber, Value, WeightRef
from planc.ir.tree import leaves
from planc.torch.capture.boundary_aliases import BoundaryAliases
from planc.torch.capture.decompose import decomposed, is_decomposed
from planc.torch.capture.encode_arguments import ArgumentEncoder
from planc.torch.capture.fake_workarounds import FiniteNumbers, pin_random_scalar
from planc.torch.capture.hidden_flows import mutable_state
from planc.torch.capture.op_names import DATA_READS, GRADIENT_ACCESS, is_in_place, op_name, reads_size
from planc.torch.capture.size_leaks import has_plain_value, reveals_size, tracked_strides
from planc.torch.capture.source_lines import calling_line
from planc.torch.capture.tensor_table import is_fake_constant, tensors_in
from planc.torch.capture.trace_records import CallRecord, OpRecord
from planc.torch.capture.tracked_arithmetic import TrackedInt, tracked_numbers, untrack
from planc.torch.compat import dispatch_mode_depth, function_mode_depth, mutation_count


class Recorder(ArgumentEncoder, TorchFunctionMode):
    """Records one forward pass."""

    def __init__(self, model: nn.Module, weights_in_attributes: Mapping[int, Tensor]) -> None:
        TorchFunctionMode.__init__(self)
        ArgumentEncoder.__init__(self, model, weights_in_attributes)
        self.root: CallRecord | None = None
        self.call_count = 0
        self.last_op = ""
        """The operation that was called last: a diagnostic names it where a run ends early."""
        self._finite_numbers = FiniteNumbers()
        self._outer_modes = 0
        """How many dispatch modes are active before any code of the model runs."""
        self._names: dict[int, list[str]] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            self._names.setdefault(id(module), []).append(name)

    @property
    def is_listening(self) -> bool:
        """Whether the model's code runs, not torch's."""
        return bool(self.open_calls) and function_mode_depth() > 0

    # ---- torch functions -------------------------------------------------------

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        keywords = dict(kwargs or {})
        if not self.open_calls:
            return func(*args, **keywords)
        if is_decomposed(func):
            with self, decomposed():
                return func(*args, **keywords)
        if reads_size(func):
            dims = (*args[1:], *keywords.values())
            return self._size(args[0], func(*untrack(tuple(args)), **untrack(keywords)), dims)
        name = op_name(func)
        if name is None:
            return self._record_query(func, args, keywords)
        return self.record(name, func, args, keywords)

    def _size(self, tensor: Tensor, result: Any, dims: Sequence[Any]) -> Any:
        encoded = self.encode(tensor)
        reader = self.size_reader(encoded)

        def tracked(size: int, dim: int) -> TrackedInt:
            return TrackedInt(size, SymNumber("size", (encoded, dim, *reader), size), self)

        self.mark_escaped((), dims)
        if isinstance(result, int):
            return tracked(result, int(untrack(dims[0])) % tensor.dim())
        sizes: list[Any] = [tracked(size, dim) for dim, size in enumerate(result)]
        return torch.Size(sizes)

    def _record_query(
        self, func: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """Call a function that computes no tensor, but may return a number."""
        name = getattr(func, "__name__", "")
        if name == "__get__":
            name = getattr(getattr(func, "__self__", None), "__name__", "")
        if name in DATA_READS:
            self.last_op = name
        if name in GRADIENT_ACCESS:  # what the code does to gradients is not recorded
            self.open_calls[-1].steps.append(OpRecord(name, (self.encode(args[0]),), {}, [], effect=True))
        if name == "nbytes":
            return self.tracked_numel(args[0]) * args[0].element_size()
        result = self._call(func, args, keywords)
        if name == "__len__":  # `len` makes a plain int of any result
            encoded = self.encode(args[0])
            number = SymNumber("len", (encoded, *self.size_reader(encoded)), result)
            self.record_use("number.lost", (number,))
            return result
        if name == "stride" and len(args) == 1 and not keywords:
            strides = tracked_strides(self._size(args[0], args[0].shape, ()), result)
            if strides is not None:
                return strides
        self._record_escapes(name, args, keywords, result)
        return result

    def record(
        self, name: str, func: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any]
    ) -> Any:
        """Call a function, and record its arguments and results."""
        self.last_op = name
        tensors = tensors_in((args, keywords))
        if name in ("numel", "nelement"):
            return self.tracked_numel(args[0] if args else keywords["input"])
        if dispatch_mode_depth() != self._outer_modes:
            name = f"{name} under a mode"  # the mode may do something else instead
        # Arguments first: an operation in place gives its tensor a new number.
        encoded = self.encode(tuple(args)), self.encode(dict(keywords))
        versions = [mutation_count(tensor) for tensor in tensors]
        result = self._call(func, args, keywords)
        pin_random_scalar(name, result)
        self._record_escapes(name, args, keywords, result)
        if is_in_place(name):
            changed = tensors[:1]
        else:
            changed = [t for t, version in zip(tensors, versions) if mutation_count(t) != version]
        self._set_origins(tensors, (args, keywords), (*tensors_in(result), *changed))
        self._add_step(name, encoded, tensors, changed, result)
        self._finite_numbers.pin(name, args, result)
        return result

    def _call(self, func: Callable[..., Any], args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        try:
            return func(*untrack(tuple(args)), **untrack(dict(keywords)))
        except Exception:
            # The code may catch the exception, and sizes may have caused it.
            self.mark_escaped(tensors_in((args, keywords)), (args, keywords))
            raise

    def _record_escapes(
        self, name: str, args: Sequence[Any], keywords: Mapping[str, Any], result: Any
    ) -> None:
        """Record the numbers that escape through a result that is not tracked."""
        tensors = tensors_in((args, keywords))
        if reveals_size(name, result):
            self.mark_escaped(tensors, ())
        if has_plain_value(result):
            self.mark_escaped((), (args, keywords))
            for number in self.table.origins_of(tensors):
                self.record_use("number.lost", (number,))

    def _set_origins(self, tensors: Sequence[Tensor], arguments: Any, results: Iterable[Tensor]) -> None:
        """Remember the numbers that constants are computed from: code may read the values of those."""
        constants = [tensor for tensor in results if is_fake_constant(tensor)]
        if constants:
            origins = [number.origin for number in tracked_numbers(arguments)]
            origins += [self.numel_origin(tensor) for tensor in tensors if not is_fake_constant(tensor)]
            self.table.set_origins(constants, [*origins, *self.table.origins_of(tensors)])

    def _add_step(
        self, name: str, encoded: tuple[Any, Any], tensors: list[Tensor], changed: list[Tensor], result: Any
    ) -> None:
        old = {id(tensor) for tensor in tensors} - {id(tensor) for tensor in changed}
        # An argument that comes back unchanged is not a result: `x.to(x.dtype)` does nothing.
        fresh = {id(t): t for t in (*tensors_in(result), *changed) if id(t) not in old}
        if not fresh:
            if name.startswith("autograd.Function."):
                self.mark_escaped(tensors, ())  # it may keep a size somewhere
            return
        call = self.open_calls[-1]
        effect = any(id(tensor) in self.table.weights for tensor in changed)
        versions = [self.table.version(tensor) for tensor in changed]
        results = [self.table.add(tensor, call.number) for tensor in fresh.values()]
        line = calling_line() if leaves(encoded, (int, SymNumber), into=INDEX_NODES) else ""
        call.steps.append(OpRecord(name, *encoded, results, effect, writes=bool(changed), line=line))
        for tensor, version in zip(changed, versions, strict=True):
            self._renumber_sharing(tensor, version, call)

    def _renumber_sharing(self, changed: Tensor, version: int, call: CallRecord) -> None:
        """Give new numbers to the tensors that share the storage of a changed one. The step `aliased` takes the changed
        tensor and the others with their old content, and gives the others with their new content."""
        others = self.table.sharing_storage(changed)
        if not others:
            return
        for tensor in others:
            self.table.keep_number(tensor, version)
        self.table.set_origins(others, list(self.table.origins_of([changed])))
        arguments = (self.encode(changed), *(self.encode(tensor) for tensor in others))
        effect = any(id(tensor) in self.table.weights for tensor in others)
        results = [self.table.add(tensor, call.number) for tensor in others]
        call.steps.append(OpRecord("aliased", arguments, {}, results, effect))

    # ---- modules ---------------------------------------------------------------

    def begin_call(
        self, module: nn.Module, args: tuple[Any, ...], keywords: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """A module is called. Returns the arguments with aliases for their tensors: a tensor that the code inside finds
        elsewhere has not passed the boundary."""
        encoded = self.encode(args), self.encode(dict(keywords))
        call = CallRecord(self.call_count, self._name(module), *encoded)
        self.call_count += 1
        if not self.open_calls:
            self.root, self._outer_modes = call, dispatch_mode_depth()
            self.open_calls.append(call)
            return args, dict(keywords)
        self.open_calls[-1].steps.append(call)
        self.open_calls.append(call)
        aliases = BoundaryAliases(self.table, call.number, call.input_aliases, call.shared_inputs)
        passed = tuple([aliases.alias_tensors(part) for part in args])
        call.passed = passed, {key: aliases.alias_tensors(part) for key, part in keywords.items()}
        call.target, call.mutable_inputs = module, mutable_state(*call.passed)
        call.has_grad = torch.is_grad_enabled()
        return call.passed

    def end_call(self, result: Any, *, unshared: bool) -> Any:
        """The module that was called last returns. Returns the result with aliases for its tensors: a tensor that the
        module keeps elsewhere does not pass the boundary.

        Args:
            result: the result of the module.
            unshared: whether no other code holds that object.
        """
        call = self.open_calls[-1]
        if len(self.open_calls) == 1:
            self.mark_escaped((), result)  # the model's caller is not recorded
        call.result, call.last_call = self.encode(result), self.call_count - 1
        self.open_calls.pop()
        if not self.open_calls:
            return result
        aliases = BoundaryAliases(
            self.table, self.open_calls[-1].number, call.output_aliases, call.shared_outputs
        )
        return aliases.alias_tensors(result, unshared=unshared)

    def encode_after_run(self, tensor: Tensor) -> Value | WeightRef:
        """A tensor that is found after the run, as a graph holds it."""
        assert self.root is not None
        self.open_calls.append(self.root)
        encoded = self.encode_tensor(tensor)
        self.open_calls.pop()
        return encoded

    def _name(self, module: nn.Module) -> str:
        """The name of a module; of several names, one below the module that runs."""
        names = self._names[id(module)]
        caller = self.open_calls[-1].module if self.open_calls else ""
        return next((name for name in names if name.startswith(f"{caller}." if caller else "")), names[0])
