"""Scaled dot product attention."""

from __future__ import annotations

from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.pointwise import broadcast_labels
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import SavedTensor, made, saved_sources
from planc.proof.types import SpmdType, sharded_dim
from planc.proof.violations import ShardedSequence, SplitHeads


def attention_saves(operation: Operation) -> tuple[SavedTensor, ...]:
    """What flash attention saves: query, key, value, the result, and a float32 logsumexp a row.

    Source: `_scaled_dot_product_flash_attention` in torch's `derivatives.yaml`. The math backend saves
    the probabilities, (..., heads, l, s), too.
    """
    result = operation.results[0]
    return (*saved_sources(operation, (0, 1, 2, "result")), made(result.shape[:-1], "float32"))


def attention_uses_rng(operation: Operation) -> bool:
    """Attention draws where it drops out probabilities."""
    given = operation.arguments
    return bool(operation.keywords.get("dropout_p", given[4] if len(given) > 4 else 0))


@op_rule("scaled_dot_product_attention", saves=attention_saves, uses_rng=attention_uses_rng, may_alias=False)
def attention_rule(operation: Operation) -> SpmdType:
    """query (..., heads, l, e), key (..., kv heads, s, e), value (..., kv heads, s, ev),
    attn_mask (..., l, s) -> (..., heads, l, ev)

    With `enable_gqa` a slice of the heads needs the slice of the kv heads of the same rank.
    """
    query, key, value, mask, p, _, _, _ = operation.bind_arguments(
        "query", "key", "value", attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
    )
    if not all(isinstance(operand, Operand) and operand.ndim >= 2 for operand in (query, key, value)):
        raise Unsupported("attention takes a query, a key and a value")
    shape = operation.results[0].shape
    terms: list[LabeledOperand] = [
        (query, (*_batch(query, shape), "l", "e")),
        (key, (*_batch(key, shape), "s", "e")),
        (value, (*_batch(value, shape), "s", "ev")),
    ]
    if isinstance(mask, Operand):
        terms.append((mask, _mask(mask, shape[:-1], key.shape[-2])))
    for term in terms:
        if _label(term) in ("l", "s"):
            raise RuleViolation(ShardedSequence(term[0].type))
        if _label(term) == "e":
            raise RuleViolation(SplitHeads(term[0].type))
    return einsum_rule(
        terms,
        (*range(len(shape) - 2), "l", "ev"),
        linear_in=(2,) if p == 0 else (),
    )


def _batch(operand: Operand, shape: tuple[int, ...]) -> DimLabels:
    """The dims before the last two; the heads of key and value count as the query's."""
    missing = len(shape) - operand.ndim
    if missing < 0:
        raise Unsupported("an operand of attention has more dims than the result")
    return tuple(
        None if size == 1 and shape[missing + d] != 1 else missing + d
        for d, size in enumerate(operand.shape[:-2])
    )


def _mask(mask: Operand, rows: tuple[int, ...], columns: int) -> DimLabels:
    """A mask is broadcast to (..., heads, l, s)."""
    whole = (*rows, columns)
    names: DimLabels = (*range(len(rows) - 1), "l", "s")
    return tuple(None if d is None else names[d] for d in broadcast_labels(mask, whole))  # type: ignore[index]


def _label(term: LabeledOperand) -> object:
    dim = sharded_dim(term[0].type)
    return None if dim is None else term[1][dim]
