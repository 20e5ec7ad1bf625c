"""What a plan says of precision against what a trainer says."""

from __future__ import annotations

from collections.abc import Mapping

from planc.ir.lowered import LoweredFsdp

_WEIGHTS: Mapping[str, str] = {"16-true": "fp16", "bf16-true": "bf16", "64-true": "fp64"}
"""The dtype of weights, and of all that is computed with them. `32-true` is what nobody has to
say: weights in float32, from which a plan may compute in anything."""
_AUTOCAST: Mapping[str, str] = {"16-mixed": "fp16", "bf16-mixed": "bf16"}
"""What most operations are computed in, whatever the dtype of weights is."""
_USE = {
    "params": "computes with parameters in",
    "reduce": "reduces gradients in",
    "output": "has the model's result in",
}


def contradictions(fsdp: LoweredFsdp | None, precision: str) -> tuple[str, ...]:
    """Where a plan and a trainer cannot both be right, a sentence for each setting; none: they can.

    Args:
        fsdp: what the plan says; None: nothing.
        precision: the trainer's, as `bf16-mixed`; of others than Lightning's six nothing is known.
    """
    wanted = _WEIGHTS.get(precision) or _AUTOCAST.get(precision)
    if fsdp is None or wanted is None:
        return ()
    return tuple(
        _sentence(fsdp, name, str(fsdp.settings[name]), precision, wanted)
        for name in _USE
        if name in fsdp.settings and not _agree(name, str(fsdp.settings[name]), precision, wanted)
    )


def needs_scaling(fsdp: LoweredFsdp | None) -> bool:
    """Whether gradients are in half precision somewhere: small ones vanish if the loss is not scaled
    (`planc.torch.train.scaler`)."""
    return fsdp is not None and "fp16" in (fsdp.settings.get("params"), fsdp.settings.get("reduce"))


def _agree(name: str, dtype: str, precision: str, wanted: str) -> bool:
    # Sums and results may be finer than the weights; and autocast leaves parameters as they are.
    if dtype == "fp32" and wanted != "fp64" and (name != "params" or precision in _AUTOCAST):
        return True
    return dtype == wanted


def _sentence(fsdp: LoweredFsdp, name: str, dtype: str, precision: str, wanted: str) -> str:
    means = "computes in" if precision in _AUTOCAST else "has weights in"
    other = f"'{name}: {wanted}' in the plan, or " if wanted != "fp64" else ""
    return (
        f"'{name}: {dtype}' in the block 'fsdp {fsdp.axis}' of the plan {_USE[name]} {dtype}, "
        f"and precision='{precision}' {means} {wanted}: needed: {other}"
        f"precision='32-true', with which the plan alone decides"
    )
