"""Operations whose result depends on random numbers: what applies a plan seeds them by axis."""

from __future__ import annotations

from planc.proof.rules.operation import Operation

_DROPOUTS = (
    "dropout",
    "dropout_",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alpha_dropout",
    "feature_alpha_dropout",
)


def uses_rng(operation: Operation) -> bool:
    """Whether a call draws random numbers; a dropout of nothing does not."""
    if operation.name in _DROPOUTS:
        given = operation.arguments[1:]
        p = operation.keywords.get("p", given[0] if given else 0.5)
        training = operation.keywords.get("training", given[1] if len(given) > 1 else True)
        return bool(p) and bool(training)
    if operation.name == "scaled_dot_product_attention":
        return bool(
            operation.keywords.get("dropout_p", operation.arguments[4] if len(operation.arguments) > 4 else 0)
        )
    return False
