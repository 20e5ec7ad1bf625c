"""Functions of each logit by itself, and what else they take: numbers, and tensors that broadcast."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from planc.ir.lowered import LocalLayout
from planc.torch.apply.redistribute import all_reduce_grad, redistribute
from planc.torch.apply.vocab_parallel_reductions import vocab_mean, vocab_sum
from planc.torch.apply.vocab_slice import INVARIANT, VocabSlice, unsupported


def elementwise(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The function on the slices. Of another operand each rank takes its part, or broadcasts it."""
    x = next((item for item in (*args, *kwargs.values()) if isinstance(item, VocabSlice)), None)
    if x is None:
        raise unsupported(f"'{func.__name__}'")
    local = [local_operand(x, item, func.__name__) for item in args]
    named = {name: local_operand(x, item, func.__name__) for name, item in kwargs.items()}
    return x.aligned(func(*local, **named))


def cast(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function of the slice that takes no other operand: `x.to(other)` asks for the dtype of the other alone."""
    x, *rest = args
    if not isinstance(x, VocabSlice):
        return func(x, *map(_local, rest), **kwargs)
    result = func(x.local, *map(_local, rest), **{name: _local(item) for name, item in kwargs.items()})
    return x.with_local(result) if isinstance(result, Tensor) else result


def elementwise_loss(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A loss that compares each logit with its own target, and sums or averages: `F.kl_div`, `F.mse_loss`."""
    bound = inspect.signature(func).bind(*args, **kwargs)
    given = bound.arguments
    if given.get("size_average") is not None or given.get("reduce") is not None:
        raise unsupported(f"'{func.__name__}' with size_average or reduce")
    reduction = given.get("reduction", "mean")
    each: VocabSlice = elementwise(func, (), {**given, "reduction": "none"})
    if reduction == "none":
        return each
    if reduction == "mean":
        return vocab_mean(each)
    total: Any = vocab_sum(each)
    if reduction == "sum":
        return total
    if reduction == "batchmean" and func.__name__ == "kl_div":
        return total / each.shape[0]
    raise ValueError(f"{reduction} is not a valid value for reduction")


def local_operand(x: VocabSlice, operand: Any, name: str) -> Any:
    """What meets the slice of another operand: its own slice, what broadcasts, or a number.

    A tensor is the same on every rank; its gradient becomes that of the whole tensor.
    """
    if isinstance(operand, VocabSlice):
        if (operand.from_end, operand.words) != (x.from_end, x.words):
            raise unsupported(f"'{name}' of logits with the vocabulary in different dims")
        return operand.local
    if not isinstance(operand, Tensor):
        return operand
    dim = operand.ndim - x.from_end
    if dim >= 0 and operand.shape[dim] == x.words:
        return redistribute(operand, INVARIANT, LocalLayout("shard", dim), x.group)
    if dim >= 0 and operand.shape[dim] != 1:
        raise unsupported(f"'{name}' with a tensor of {operand.shape[dim]} entries along the vocabulary")
    if not operand.requires_grad:
        return operand
    # A number may lie on the CPU, where the group may have no backend.
    return all_reduce_grad(operand.to(x.local.device), x.group)


def _local(item: Any) -> Any:
    return item.local if isinstance(item, VocabSlice) else item
