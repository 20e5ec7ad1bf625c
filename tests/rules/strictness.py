"""Where rules refuse what the numbers allow, each with its reason."""

from __future__ import annotations

from planc.layouts.types import PARTIAL, WHOLE, Packed, cut_dim

_PARAMETERS = ("layer_norm", "group_norm", "rms_norm", "batch_norm", "prelu")


def known(case, types):
    """Why a rule may refuse this, or None."""
    if case.name.endswith("_") or case.name.startswith("__i"):
        if types[0] in WHOLE and PARTIAL in types[1:]:
            return "in place: what is whole stays whole, another name of it may be in use"
        if case.name in ("copy_", "fill_"):
            return "what is written over keeps its type"
    if case.name in _PARAMETERS and PARTIAL in types[1:]:
        return "a parameter of a norm is never a pending sum"
    if case.name in ("gather", "scatter", "scatter_", "scatter_add") and any(
        isinstance(t, Packed) for t in types
    ):
        return "tensors of other lengths along a dim are not followed along it"
    if case.name in ("index_add", "scatter_add") and types[0] is PARTIAL and cut_dim(types[1]) is not None:
        return "adding shares of rows into a pending sum: no model does it so"
    if case.name in ("cross_entropy", "nll_loss") and types[0] is not PARTIAL:
        return "targets and weights of a loss are never a pending sum"
    if case.name in ("isnan", "isinf", "isfinite", "isposinf", "isneginf"):
        return "no number drawn is one that it finds"
    if PARTIAL in types:
        return {
            "bool": "the summands of zero are hardly ever drawn as zero",
            "nansum": "linear only where nothing is left out",
            "nanmean": "linear only where nothing is left out",
            "nan_to_num": "linear only where nothing is to be replaced",
            "nan_to_num_": "linear only where nothing is to be replaced",
        }.get(case.name)
    return None
