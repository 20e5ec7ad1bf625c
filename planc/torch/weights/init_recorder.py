"""Records how a model initializes itself: all operations of its construction, on the meta device."""

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
    """The size of the storage."""

    @property
    def covers_storage(self) -> bool:
        """Whether the view covers its storage."""
        size = self.dtype.itemsize
        for length in self.size:
            size *= length
        return self.offset == 0 and size == self.storage_bytes


class InitOp(NamedTuple):
    """An operation, with views of storages in place of tensors."""

    op: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    reads: frozenset[int]
    writes: frozenset[int]
    overwritten: int | None
    """The storage that the operation fills, without reading it."""
    outputs: tuple[StorageView | None, ...]
    uses_rng: bool


_OVERWRITING_OPS = {"uniform_", "normal_", "fill_", "zero_", "random_", "exponential_", "bernoulli_", "copy_"}


class InitRecordingError(Exception):
    """An operation that planc cannot record."""


class InitRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Puts new tensors on the meta device, and records what is done to them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.ops: list[InitOp] = []
        self.constants: dict[int, Tensor] = {}
        self._alive: list[Tensor] = []  # storages are identified by address: none may be freed
        self._constants_on_meta: dict[int, Tensor] = {}

    def view_of(self, tensor: Tensor) -> StorageView:
        """A tensor as a view of its storage."""
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
                raise InitRecordingError(f"{func} draws random numbers for a tensor with given values")
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
        """The stand-in on the meta device for a tensor with values: a constant."""
        if not isinstance(item, Tensor) or item.is_meta:
            return item
        if id(item) not in self._constants_on_meta:
            on_meta = torch.empty_strided(item.shape, item.stride(), dtype=item.dtype, device="meta")
            self._constants_on_meta[id(item)] = on_meta
            self._alive += [item, on_meta]
            self.constants[self.view_of(on_meta).storage] = item.clone()
        return self._constants_on_meta[id(item)]

    def _record(self, func: Any, args: Any, kwargs: Any, result: Any, random: bool) -> None:
        inputs = leaves((args, kwargs), Tensor)
        outputs = leaves(result, Tensor)
        self._alive += [*inputs, *outputs]
        read = {self.view_of(x).storage for x in inputs}
        written = {
            self.view_of(x).storage
            for argument, x in zip(op_schema(func).arguments, args)
            if argument.alias_info is not None and argument.alias_info.is_write and isinstance(x, Tensor)
        }
        new = [None if self.view_of(x).storage in read else self.view_of(x) for x in outputs]
        if not written and not any(new):
            return  # a view
        overwritten = None
        if (
            op_basename(func) in _OVERWRITING_OPS
            and isinstance(args[0], Tensor)
            and self.view_of(args[0]).covers_storage
        ):
            overwritten = self.view_of(args[0]).storage
            read = {self.view_of(x).storage for x in inputs if x is not args[0]}
        op_args, op_kwargs = map_leaves((args, kwargs), Tensor, self.view_of)
        if "device" in op_kwargs:
            op_kwargs["device"] = torch.device("cpu")
        self.ops.append(
            InitOp(func, op_args, op_kwargs, frozenset(read), frozenset(written), overwritten,
                 tuple(new), random)
        )  # fmt: skip

    def record_initializer(
        self, function: Callable[..., Any], tensor: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Record a call of an initializer that reads the numbers it draws."""
        if not tensor.is_meta:
            raise InitRecordingError(
                f"{function.__name__} draws random numbers for a tensor with given values"
            )
        view = self.view_of(tensor.detach())
        self._alive.append(tensor)
        written = frozenset({view.storage})
        read, overwritten = (frozenset[int](), view.storage) if view.covers_storage else (written, None)
        self.ops.append(InitOp(function, (view, *args), kwargs, read, written, overwritten, (), True))
        return tensor


def record_init(build: Callable[[], nn.Module]) -> tuple[nn.Module, InitRecorder]:
    """A model on the meta device, and the record of how it initializes itself.

    Raises:
        InitRecordingError: it does something that depends on values.
    """
    recorder = InitRecorder()
    try:
        with _patch_initializers(recorder), recorder:
            return build(), recorder
    except (NotImplementedError, RuntimeError) as error:
        raise InitRecordingError(str(error).strip().partition("\n")[0]) from error


@contextmanager
def _patch_initializers(recorder: InitRecorder) -> Iterator[None]:
    """Record initializers that read their own numbers as one call: on meta tensors they do nothing."""
    names = (TRUNC_NORMAL, "orthogonal_", "sparse_", "dirac_")
    own: dict[str, Any] = {
        name: partial(recorder.record_initializer, getattr(nn.init, name)) for name in names
    }
    with ExitStack() as patches:
        patches.enter_context(patch.multiple(nn.init, **own))
        # Transformers replaces torch's initializers and calls the originals, which it stores.
        stored = stored_initializers()
        patches.enter_context(patch.dict(stored, {name: own[name] for name in names if name in stored}))
        yield
