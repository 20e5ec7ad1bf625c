"""Where rules refuse what the numbers allow, each with its reason."""

from __future__ import annotations

from planc.proof.types import PARTIAL, SAME_ON_ALL_RANKS, PackedShard, sharded_dim

_PARAMETERS = ("layer_norm", "group_norm", "rms_norm", "batch_norm", "prelu", "_weight_norm")
_COMPARISONS = (
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "greater",
    "less",
    "greater_equal",
    "less_equal",
    "not_equal",
)
_STRICT_WITH_PARTIAL = {
    "addcmul": "linear in several ways: taken as not linear",
    "addcdiv": "linear in several ways: taken as not linear",
    "lerp": "linear in several ways: taken as not linear",
    "xlogy": "linear in its first operand: no model does so",
    "bitwise_left_shift": "linear in its first operand: no model does so",
    "__lshift__": "linear in its first operand: no model does so",
    "__ilshift__": "linear in its first operand: no model does so",
    "scatter_reduce": "linear where it sums: no model does so",
    "bool": "the summands of zero are hardly ever drawn as zero",
    "nansum": "linear only where nothing is left out",
    "nanmean": "linear only where nothing is left out",
    "nan_to_num": "linear only where nothing is to be replaced",
}
"""Operations that refuse a partial operand, though the result would be partial."""


def known_strictness(case, types):
    """Why a rule may refuse this, or None."""
    name = case.name if case.name.startswith("__") else case.name.removesuffix("_")
    in_place = name != case.name or case.name.startswith("__i")
    if case.keywords.get("beta") == 0 and sharded_dim(types[0]) is not None:
        return "what is not read has the wrong shape, unless its shard is broadcast"
    if in_place and types[0] in SAME_ON_ALL_RANKS and PARTIAL in types[1:]:
        return "in place: a replicated tensor stays replicated, since a view of it may be in use"
    if in_place and name in ("copy", "fill"):
        return "an overwritten tensor keeps its type"
    if in_place and name in _COMPARISONS:
        return "a gradient of zero is a gradient"
    if case.keywords.get("rounding_mode") is not None:
        return "a gradient of zero is a gradient"
    if name in _PARAMETERS and PARTIAL in types[1:]:
        return "a parameter of a norm is never partial"
    if name == "channel_shuffle" and isinstance(types[0], PackedShard):
        return "the parts are the groups that are shuffled: no model does so"
    if name in ("gather", "scatter", "scatter_add") and any(
        isinstance(spmd_type, PackedShard) for spmd_type in types
    ):
        return "planc does not follow tensors of different sizes along a dim"
    if name in ("index_add", "scatter_add") and types[0] is PARTIAL and sharded_dim(types[1]) is not None:
        return "adding shards of rows to a partial tensor: no model does so"
    if name in ("cross_entropy", "nll_loss") and types[0] is not PARTIAL:
        return "targets and weights of a loss are never partial"
    if name in ("isnan", "isinf", "isfinite", "isposinf", "isneginf"):
        return "no random number is one that it finds"
    if name == "scaled_dot_product_attention":
        return _attention(case, types)
    if "_pool" in name and sharded_dim(types[0]) in (2, 3):
        return "windows that do not overlap are not looked for"
    if name.startswith("conv"):
        return _convolution(case, types)
    return _STRICT_WITH_PARTIAL.get(name) if PARTIAL in types else None


def _attention(case, types):
    if case.tensors()[0].spmd_type == "float" and sharded_dim(types[0]) == len(case.tensors()[0].shape) - 2:
        return "a query of a slice of the sequence: an axis for it must be named"
    return None


def _convolution(case, types):
    places = len(case.tensors()[1].shape) - 2
    if sharded_dim(types[0]) is not None and sharded_dim(types[0]) >= len(case.tensors()[0].shape) - places:
        return "windows that do not overlap are not looked for"
    if "groups" in case.keywords and PARTIAL in types:
        return "a bias and an image that are both partial: no model has them"
    return None
