"""How a model initialises itself: all that its class does to make it, recorded without memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor, nn

from planc.ir.tree import leaves, map_leaves
from planc.torch.compat import TRUNC_NORMAL, TorchDispatchMode, op_basename, op_schema, storage_id
from planc.torch.models.compat import stored_initializers


class StorageView(NamedTuple):
    """A tensor, as a view of a storage."""

    storage: int
    dtype: torch.dtype
    size: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    storage_bytes: int
    """Of the whole storage."""

    @property
    def covers_storage(self) -> bool:
        """Whether it is all of its storage."""
        size = self.dtype.itemsize
        for length in self.size:
            size *= length
        return self.offset == 0 and size == self.storage_bytes


class RecordedOp(NamedTuple):
    """An operation, with references in place of tensors."""

    op: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    reads: frozenset[int]
    writes: frozenset[int]
    overwritten: int | None
    """The storage of which nothing is left as it was."""
    outputs: tuple[StorageView | None, ...]
    uses_rng: bool


_OVERWRITING_OPS = {"uniform_", "normal_", "fill_", "zero_", "random_", "exponential_", "bernoulli_", "copy_"}


class InitRecordingError(Exception):
    """An operation that cannot be recorded."""


class InitRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tensors that are made get no memory; what is done to them is kept."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[RecordedOp] = []
        self.constants: dict[int, Tensor] = {}
        self._kept: list[Tensor] = []  # so that no storage gets the name of another
        self._known: dict[int, Tensor] = {}

    def view_of(self, tensor: Tensor) -> StorageView:
        storage = tensor.untyped_storage()
        return StorageView(
            storage_id(tensor), tensor.dtype, tuple(tensor.shape), tuple(tensor.stride()),
            int(tensor.storage_offset()), int(storage.nbytes()),
        )  # fmt: skip

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        tensors = leaves((args, kwargs), Tensor)
        random = torch.Tag.nondeterministic_seeded in func.tags
        if tensors and not any(x.is_meta for x in tensors):
            if random:
                raise InitRecordingError(f"{func} draws numbers for a tensor made of given ones")
            return func(*args, **kwargs)
        args, kwargs = map_leaves((args, kwargs), Tensor, self._to_meta)
        takes = {argument.name for argument in op_schema(func).arguments}
        if kwargs.get("device") is not None or (not tensors and "device" in takes):
            kwargs["device"] = torch.device("meta")
        result = func(*args, **kwargs)
        if not tensors and "dtype" in takes and isinstance(result, Tensor):
            kwargs["dtype"] = result.dtype
        self._record(func, args, kwargs, result, random)
        return result

    def _to_meta(self, item: Any) -> Any:
        """A tensor with numbers of its own is a constant."""
        if not isinstance(item, Tensor) or item.is_meta:
            return item
        if id(item) not in self._known:
            made = torch.empty_strided(item.shape, item.stride(), dtype=item.dtype, device="meta")
            self._known[id(item)] = made
            self._kept += [item, made]
            self.constants[self.view_of(made).storage] = item.clone()
        return self._known[id(item)]

    def _record(self, func: Any, args: Any, kwargs: Any, result: Any, random: bool) -> None:
        given = leaves((args, kwargs), Tensor)
        made = leaves(result, Tensor)
        self._kept += [*given, *made]
        read = {self.view_of(x).storage for x in given}
        written = {
            self.view_of(x).storage
            for argument, x in zip(op_schema(func).arguments, args)
            if argument.alias_info is not None and argument.alias_info.is_write and isinstance(x, Tensor)
        }
        fresh = [None if self.view_of(x).storage in read else self.view_of(x) for x in made]
        if not written and not any(fresh):
            return  # a view
        overwritten = None
        if (
            op_basename(func) in _OVERWRITING_OPS
            and isinstance(args[0], Tensor)
            and self.view_of(args[0]).covers_storage
        ):
            overwritten = self.view_of(args[0]).storage
            read = {self.view_of(x).storage for x in given if x is not args[0]}
        arguments, keywords = map_leaves((args, kwargs), Tensor, self.view_of)
        if "device" in keywords:
            keywords["device"] = torch.device("cpu")
        self.steps.append(
            RecordedOp(func, arguments, keywords, frozenset(read), frozenset(written), overwritten,
                 tuple(fresh), random)
        )  # fmt: skip

    def record_initializer(
        self, function: Callable[..., Any], tensor: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Record a function that fills a tensor and looks at the numbers it draws."""
        if not tensor.is_meta:
            raise InitRecordingError(f"{function.__name__} draws numbers for a tensor made of given ones")
        ref = self.view_of(tensor.detach())
        self._kept.append(tensor)
        written = frozenset({ref.storage})
        read, overwritten = (frozenset[int](), ref.storage) if ref.covers_storage else (written, None)
        self.steps.append(RecordedOp(function, (ref, *args), kwargs, read, written, overwritten, (), True))
        return tensor


def record_init(build: Callable[[], nn.Module]) -> tuple[nn.Module, InitRecorder]:
    """A model without memory, and how its numbers come about.

    Raises:
        NotRecordedError: they depend on each other in a way that cannot be recorded.
    """
    recorder = InitRecorder()
    try:
        with _patch_initializers(recorder), recorder:
            return build(), recorder
    except (NotImplementedError, RuntimeError) as bad:
        raise InitRecordingError(str(bad).strip().partition("\n")[0]) from bad


@contextmanager
def _patch_initializers(recorder: InitRecorder) -> Iterator[None]:
    """Initialisers that look at numbers are recorded whole: on meta tensors they do nothing at all."""
    names = (TRUNC_NORMAL, "orthogonal_", "sparse_", "dirac_")
    own: dict[str, Any] = {
        name: partial(recorder.record_initializer, getattr(nn.init, name)) for name in names
    }
    with ExitStack() as patches:
        patches.enter_context(patch.multiple(nn.init, **own))
        # Transformers has kept torch's functions to call them behind its own.
        kept = stored_initializers()
        patches.enter_context(patch.dict(kept, {name: own[name] for name in names if name in kept}))
        yield
