"""What a plan says of precision against what a trainer says."""

from __future__ import annotations

from collections.abc import Mapping

from planc.ir.lowered import LoweredFsdp

_TRUE_PRECISION: Mapping[str, str] = {"16-true": "fp16", "bf16-true": "bf16", "64-true": "fp64"}
"""The dtype of weights, and of all that is computed with them. `32-true` is what nobody has to
say: weights in float32, from which a plan may compute in anything."""
_AUTOCAST_PRECISION: Mapping[str, str] = {"16-mixed": "fp16", "bf16-mixed": "bf16"}
"""What most operations are computed in, whatever the dtype of weights is."""
_SETTING_MEANING = {
    "params": "computes with parameters in",
    "reduce": "reduces gradients in",
    "output": "has the model's result in",
}


def precision_conflicts(fsdp: LoweredFsdp | None, precision: str) -> tuple[str, ...]:
    """Where a plan and a trainer cannot both be right, a sentence for each setting; none: they can.

    Args:
        fsdp: what the plan says; None: nothing.
        precision: the trainer's, as `bf16-mixed`; of others than Lightning's six nothing is known.
    """
    wanted = _TRUE_PRECISION.get(precision) or _AUTOCAST_PRECISION.get(precision)
    if fsdp is None or wanted is None:
        return ()
    return tuple(
        _conflict_message(fsdp, name, str(fsdp.settings[name]), precision, wanted)
        for name in _SETTING_MEANING
        if name in fsdp.settings and not _is_compatible(name, str(fsdp.settings[name]), precision, wanted)
    )


def needs_loss_scaling(fsdp: LoweredFsdp | None) -> bool:
    """Whether gradients are in half precision somewhere: small ones vanish if the loss is not scaled
    (`planc.torch.train.grad_scaler`)."""
    return fsdp is not None and "fp16" in (fsdp.settings.get("params"), fsdp.settings.get("reduce"))


def _is_compatible(name: str, dtype: str, precision: str, wanted: str) -> bool:
    # Sums and results may be finer than the weights; and autocast leaves parameters as they are.
    if dtype == "fp32" and wanted != "fp64" and (name != "params" or precision in _AUTOCAST_PRECISION):
        return True
    return dtype == wanted


def _conflict_message(fsdp: LoweredFsdp, name: str, dtype: str, precision: str, wanted: str) -> str:
    means = "computes in" if precision in _AUTOCAST_PRECISION else "has weights in"
    other = f"'{name}: {wanted}' in the plan, or " if wanted != "fp64" else ""
    return (
        f"'{name}: {dtype}' in the block 'fsdp {fsdp.axis}' of the plan {_SETTING_MEANING[name]} {dtype}, "
        f"and precision='{precision}' {means} {wanted}: needed: {other}"
        f"precision='32-true', with which the plan alone decides"
    )
