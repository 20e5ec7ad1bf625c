"""torch.nn.functional.scaled_dot_product_attention."""

from __future__ import annotations

from planc.proof.rules.einsum_rule import DimLabels, LabeledOperand, einsum_rule
from planc.proof.rules.operation import Operand, Operation, RuleViolation, Unsupported
from planc.proof.rules.pointwise import broadcast_labels
from planc.proof.rules.registry import op_rule
from planc.proof.rules.saved_tensors import SavedTensor, made, saved_sources
from planc.proof.types import SpmdType, sharded_dim
from planc.proof.violations import ShardedSequence, SplitHeads


def attention_saves(operation: Operation) -> tuple[SavedTensor, ...]:
    """Query, key, value, the result, and a float32 logsumexp for each row, as flash attention saves them.

    Source: `_scaled_dot_product_flash_attention` in torch's `derivatives.yaml`. The math backend saves
    the probabilities, (..., heads, l, s), too.
    """
    result = operation.results[0]
    return (*saved_sources(operation, (0, 1, 2, "result")), made(result.shape[:-1], "float32"))


def attention_uses_rng(operation: Operation) -> bool:
    """Attention draws random numbers if it drops out probabilities."""
    given = operation.arguments
    return bool(operation.keywords.get("dropout_p", given[4] if len(given) > 4 else 0))


@op_rule(
    "scaled_dot_product_attention", saves=attention_saves, uses_rng=attention_uses_rng, may_alias=False,
    saved_as=("attention", "matmul"),
)  # fmt: skip
def attention_rule(operation: Operation) -> SpmdType:
    """query (..., heads, l, e), key (..., kv heads, s, e), value (..., kv heads, s, ev),
    attn_mask (..., l, s) -> (..., heads, l, ev)

    With `enable_gqa`, a rank's query heads need the kv heads of the same rank.
    """
    query, key, value, mask, p, _, _, _ = operation.bind_arguments(
        "query", "key", "value", attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
    )
    if not all(isinstance(operand, Operand) and operand.ndim >= 2 for operand in (query, key, value)):
        raise Unsupported("the rule of attention expects a query, a key and a value")
    shape = operation.results[0].shape
    operands: list[LabeledOperand] = [
        (query, (*_batch_labels(query, shape), "l", "e")),
        (key, (*_batch_labels(key, shape), "s", "e")),
        (value, (*_batch_labels(value, shape), "s", "ev")),
    ]
    if isinstance(mask, Operand):
        operands.append((mask, _mask_labels(mask, shape[:-1], key.shape[-2])))
    for operand, labels in operands:
        dim = sharded_dim(operand.type)
        label = None if dim is None else labels[dim]
        if label in ("l", "s"):
            raise RuleViolation(ShardedSequence(operand.type))
        if label == "e":
            raise RuleViolation(SplitHeads(operand.type))
    result: DimLabels = (*range(len(shape) - 2), "l", "ev")
    return einsum_rule(operands, result, linear_in=(2,) if p == 0 else ())


def _batch_labels(operand: Operand, shape: tuple[int, ...]) -> DimLabels:
    """Labels of the dims before the last two; the heads of key and value have the label of the query's."""
    missing = len(shape) - operand.ndim
    if missing < 0:
        raise Unsupported("an operand of attention has more dims than the result")
    return tuple(
        None if size == 1 and shape[missing + d] != 1 else missing + d
        for d, size in enumerate(operand.shape[:-2])
    )


def _mask_labels(mask: Operand, rows: tuple[int, ...], columns: int) -> DimLabels:
    """Labels of a mask, which broadcasts to (..., heads, l, s)."""
    labels: DimLabels = (*range(len(rows) - 1), "l", "s")
    dims = broadcast_labels(mask, (*rows, columns))
    return tuple(None if d is None else labels[int(d)] for d in dims)
