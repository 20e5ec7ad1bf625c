"""Views, permutations and slices of the dims beside the vocabulary, and where the vocabulary lies afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from math import prod
from typing import Any

import torch
from torch import Tensor

from planc.ir.tree import leaves, map_leaves
from planc.torch.apply.vocab_parallel_reductions import vocab_index
from planc.torch.apply.vocab_slice import VocabSlice, unsupported

_MASKS = (torch.bool, torch.uint8)


def reshaped(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> VocabSlice:
    """View the slice as the function would view the whole: the vocabulary must stay a dim of its own."""
    x, *rest = args
    if not isinstance(x, VocabSlice) or leaves((rest, kwargs), (torch.dtype, VocabSlice)):
        raise unsupported(f"'{func.__name__}' of another dtype or another tensor")
    viewed = func(torch.empty(x.shape, device="meta"), *rest, **kwargs).shape
    before, after = prod(x.shape[: x.dim]), prod(x.shape[x.dim + 1 :])
    for dim, size in enumerate(viewed):
        if size == x.words and prod(viewed[:dim]) == before and prod(viewed[dim + 1 :]) == after:
            shape = (*viewed[:dim], x.local.shape[x.dim], *viewed[dim + 1 :])
            # A view stays a view: it raises where the same view of the gathered logits would raise.
            view = x.local.view if func.__name__ == "view" else x.local.reshape
            return x.with_local(view(shape), dim)
    raise unsupported(f"'{func.__name__}' across the vocabulary")


def rearranged(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Apply a function that moves, selects or drops whole dims. It runs on two sizes of the vocabulary: the dim whose
    size differs is that of the vocabulary."""
    x, *rest = args
    if not isinstance(x, VocabSlice) or leaves((rest, kwargs), VocabSlice):
        raise unsupported(f"'{_name(func)}' by other logits")
    probe = map_leaves(rest, Tensor, _on_meta, combine=_spliced), map_leaves(kwargs, Tensor, _on_meta)
    shapes = [_shapes(func, x, words, *probe) for words in (x.words, x.words + 1)]
    dims = [_vocab_dim(x, *pair) for pair in zip_longest(*shapes)]
    if None in dims:
        raise unsupported(f"'{_name(func)}' along the vocabulary")
    remaining = iter(dims)
    result = func(x.local, *rest, **kwargs)
    return map_leaves(result, Tensor, lambda local: x.with_local(local, next(remaining)))


def iterated(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The rows along the first dim."""
    return iter(rearranged(torch.unbind, args, kwargs))


def indexed(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Index the dims beside the vocabulary in any way; the vocabulary only by ids, with ids for all other dims too."""
    x, index = args
    if not isinstance(x, VocabSlice):
        raise unsupported("to be an index")
    items = [_as_index(item) for item in (index if isinstance(index, tuple) else (index,))]
    if len(items) == x.local.ndim and isinstance(items[x.dim], Tensor) and all(map(_is_number, items)):
        return vocab_index(x, items)
    return rearranged(func, (x, tuple(items)), kwargs)


def _as_index(item: Any) -> Any:
    """A list or an array as a tensor."""
    is_basic = item is None or item is Ellipsis or isinstance(item, int | slice | Tensor)
    return item if is_basic else torch.as_tensor(item)


def _is_number(item: Any) -> bool:
    """Whether an index has a number for each entry of the result, and consumes one dim."""
    if isinstance(item, Tensor):
        return item.dtype not in _MASKS
    return isinstance(item, int) and not isinstance(item, bool)


def _on_meta(item: Tensor) -> Tensor | tuple[Tensor, ...]:
    """An index without numbers. A mask becomes what it stands for: an index of one length for each of its dims."""
    if item.dtype in _MASKS:
        return (torch.empty(1, dtype=torch.int64, device="meta"),) * item.ndim
    return torch.empty_like(item, device="meta")


def _spliced(node: Any, parts: list[Any]) -> Any:
    """A tuple or a list with the indices that a mask stands for in its place."""
    flat: list[Any] = []
    for old, new in zip(node, parts, strict=True):
        flat += new if isinstance(old, Tensor) and isinstance(new, tuple) else [new]
    return tuple(flat) if isinstance(node, tuple) else flat


def joined(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> VocabSlice:
    """Concatenate or stack logits along another dim than the vocabulary."""
    parts, *rest = args
    if not all(isinstance(part, VocabSlice) and part.dim == parts[0].dim for part in parts):
        raise unsupported(f"'{func.__name__}' of logits and other tensors")
    shapes = [
        func([_meta(part, part.words + more) for part in parts], *rest, **kwargs).shape for more in (0, 1)
    ]
    dim = _vocab_dim(parts[0], *shapes)
    if dim is None:
        raise unsupported(f"'{func.__name__}' along the vocabulary")
    first: VocabSlice = parts[0]
    return first.with_local(func([part.local for part in parts], *rest, **kwargs), dim)


def _shapes(
    func: Callable[..., Any], x: VocabSlice, words: int, args: Sequence[Any], kwargs: dict[str, Any]
) -> list[torch.Size]:
    """The shapes of the results for a vocabulary of so many words."""
    return [result.shape for result in leaves(func(_meta(x, words), *args, **kwargs), Tensor)]


def _meta(x: VocabSlice, words: int) -> Tensor:
    return torch.empty((*x.shape[: x.dim], words, *x.shape[x.dim + 1 :]), device="meta")


def _vocab_dim(x: VocabSlice, shape: Sequence[int] | None, larger: Sequence[int] | None) -> int | None:
    """The dim that has the size of the vocabulary in both cases; None where there is none."""
    if shape is None or larger is None or len(shape) != len(larger):
        return None
    differing = [dim for dim, pair in enumerate(zip(shape, larger)) if pair[0] != pair[1]]
    if len(differing) != 1 or (shape[differing[0]], larger[differing[0]]) != (x.words, x.words + 1):
        return None
    return differing[0]


def _name(func: Any) -> str:
    name: str = func.__name__
    return getattr(func.__self__, "__name__", name) if name == "__get__" else name
