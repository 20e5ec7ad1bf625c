"""The functions of torch that vocab-parallel logits support: a row for each kind of function.

A row takes the function, its arguments with a `VocabSlice` for each of the logits, and its keywords. It returns tensors
that are full, and a `VocabSlice` for each that is split as the logits are.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from planc.torch.apply.vocab_parallel_criteria import vocab_cross_entropy, vocab_nll_loss
from planc.torch.apply.vocab_parallel_elementwise import cast, elementwise, elementwise_loss
from planc.torch.apply.vocab_parallel_reductions import (
    vocab_all,
    vocab_amax,
    vocab_any,
    vocab_argmax,
    vocab_argmin,
    vocab_gather,
    vocab_max,
    vocab_mean,
    vocab_min,
    vocab_sum,
    vocab_take_along_dim,
    vocab_topk,
)
from planc.torch.apply.vocab_parallel_softmax import vocab_log_softmax, vocab_logsumexp, vocab_softmax
from planc.torch.apply.vocab_parallel_views import indexed, iterated, joined, rearranged, reshaped
from planc.torch.apply.vocab_slice import VocabSlice, unsupported

VocabOp = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


def _own(function: Callable[..., Any]) -> VocabOp:
    """planc's own version of a function of the logits."""
    signature = inspect.signature(function)

    def run(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise unsupported(f"'{func.__name__}' with these arguments ({error})") from None
        if not args or not isinstance(args[0], VocabSlice):
            raise unsupported(f"'{func.__name__}' of other logits")
        return function(*args, **kwargs)

    return run


_ROWS: dict[VocabOp, str] = {
    cast: "float double half bfloat16 to type type_as cpu cuda contiguous detach clone requires_grad grad_fn is_leaf "
          "is_contiguous output_nr",
    elementwise: "mul multiply div divide true_divide add sub subtract rsub neg negative pow square sqrt rsqrt exp expm1 "
                 "log log1p tanh sigmoid abs absolute reciprocal relu softplus logsigmoid logaddexp maximum minimum "
                 "clamp clip clamp_min clamp_max nan_to_num masked_fill where zeros_like ones_like full_like xlogy "
                 "eq ne lt le gt ge isnan isinf isfinite isneginf isposinf logical_not logical_and logical_or "
                 "__rdiv__ __rpow__ __rsub__ __eq__ __ne__ __and__ __or__ __invert__ "
                 "mul_ div_ add_ sub_ neg_ exp_ tanh_ clamp_ clip_ masked_fill_ zero_ fill_ nan_to_num_",
    elementwise_loss: "kl_div mse_loss l1_loss smooth_l1_loss huber_loss",
    reshaped: "view reshape flatten unflatten",
    rearranged: "transpose swapaxes swapdims permute movedim moveaxis t T mT H mH squeeze unsqueeze select narrow "
                "index_select unbind split chunk",
    indexed: "__getitem__",
    iterated: "__iter__",
    joined: "cat concat concatenate stack",
    _own(vocab_cross_entropy): "cross_entropy",
    _own(vocab_nll_loss): "nll_loss",
    _own(vocab_log_softmax): "log_softmax",
    _own(vocab_softmax): "softmax",
    _own(vocab_logsumexp): "logsumexp",
    _own(vocab_sum): "sum",
    _own(vocab_mean): "mean",
    _own(vocab_any): "any",
    _own(vocab_all): "all",
    _own(vocab_max): "max",
    _own(vocab_min): "min",
    _own(vocab_argmax): "argmax",
    _own(vocab_argmin): "argmin",
    _own(vocab_amax): "amax",
    _own(vocab_topk): "topk",
    _own(vocab_gather): "gather",
    _own(vocab_take_along_dim): "take_along_dim",
}  # fmt: skip

VOCAB_OPS: dict[str, VocabOp] = {name: op for op, names in _ROWS.items() for name in names.split()}
"""By the names of functions, methods and attributes."""
_OF_SHAPE = """
shape size dim ndim ndimension numel nelement dtype device layout __len__ is_floating_point is_complex is_cuda is_cpu
is_meta is_sparse is_nested get_device element_size itemsize __hash__
"""
FROM_GLOBAL_SHAPE = frozenset(_OF_SHAPE.split())
"""Functions that the global shape and the dtype answer."""
