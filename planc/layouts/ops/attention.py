"""Scaled dot product attention."""

from __future__ import annotations

from planc.layouts.factors import Labels, Term, shared
from planc.layouts.operation import NotKnown, Operand, Operation, Refused
from planc.layouts.ops import rule
from planc.layouts.ops.pointwise import aligned
from planc.layouts.types import Type, cut_dim


@rule("scaled_dot_product_attention")
def attention(operation: Operation) -> Type:
    """query (..., heads, l, e), key (..., kv heads, s, e), value (..., kv heads, s, ev),
    attn_mask (..., l, s) -> (..., heads, l, ev)

    With `enable_gqa` a slice of the heads needs the slice of the kv heads of the same rank.
    """
    query, key, value, mask, p, _, _, _ = operation.bind(
        "query", "key", "value", attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
    )
    if not all(isinstance(operand, Operand) and operand.ndim >= 2 for operand in (query, key, value)):
        raise NotKnown("attention takes a query, a key and a value")
    shape = operation.results[0].shape
    terms: list[Term] = [
        (query, (*_batch(query, shape), "l", "e")),
        (key, (*_batch(key, shape), "s", "e")),
        (value, (*_batch(value, shape), "s", "ev")),
    ]
    if isinstance(mask, Operand):
        terms.append((mask, _mask(mask, shape[:-1], key.shape[-2])))
    for term in terms:
        if _label(term) in ("l", "s"):
            raise Refused("sequence", f"attention sees a sequence that is {term[0].type}",
                          "the whole sequence on every rank")  # fmt: skip
        if _label(term) == "e":
            raise Refused("cut-along", f"heads that are {term[0].type}, cut within",
                          "whole heads on every rank")  # fmt: skip
    return shared(
        terms,
        (*range(len(shape) - 2), "l", "ev"),
        linear=(2,) if p == 0 else (),
    )


def _batch(operand: Operand, shape: tuple[int, ...]) -> Labels:
    """The dims before the last two; the heads of key and value count as the query's."""
    missing = len(shape) - operand.ndim
    if missing < 0:
        raise NotKnown("an operand of attention has more dims than the result")
    return tuple(
        None if size == 1 and shape[missing + d] != 1 else missing + d
        for d, size in enumerate(operand.shape[:-2])
    )


def _mask(mask: Operand, rows: tuple[int, ...], columns: int) -> Labels:
    """A mask is broadcast to (..., heads, l, s)."""
    whole = (*rows, columns)
    names: Labels = (*range(len(rows) - 1), "l", "s")
    return tuple(None if d is None else names[d] for d in aligned(mask, whole))  # type: ignore[index]


def _label(term: Term) -> object:
    dim = cut_dim(term[0].type)
    return None if dim is None else term[1][dim]
