"""Conflicts between the precision of a plan and that of a trainer."""

from __future__ import annotations

from collections.abc import Mapping

from planc.ir.lowered import LoweredFsdp

_TRUE_PRECISION: Mapping[str, str] = {"16-true": "fp16", "bf16-true": "bf16", "64-true": "fp64"}
"""The dtype of weights and of the computation. `32-true`, the default, conflicts with no plan: weights are in float32,
and a plan may cast them to any dtype."""
_AUTOCAST_PRECISION: Mapping[str, str] = {"16-mixed": "fp16", "bf16-mixed": "bf16"}
"""The dtype that autocast computes most operations in, for weights of any dtype."""
_SETTING_MEANING = {
    "params": "computes with parameters in",
    "reduce": "reduces gradients in",
    "output": "has the model's result in",
}


def precision_conflicts(fsdp: LoweredFsdp | None, precision: str) -> tuple[str, ...]:
    """Settings of a plan that conflict with the precision of a trainer, a sentence for each.

    Args:
        fsdp: the settings of the plan; None: it has none.
        precision: the trainer's, such as `bf16-mixed`; values other than Lightning's six conflict with nothing.
    """
    needed = _TRUE_PRECISION.get(precision) or _AUTOCAST_PRECISION.get(precision)
    if fsdp is None or needed is None:
        return ()
    return tuple(
        _conflict_message(fsdp, name, str(fsdp.settings[name]), precision, needed)
        for name in _SETTING_MEANING
        if name in fsdp.settings and not _is_compatible(name, str(fsdp.settings[name]), precision, needed)
    )


def needs_loss_scaling(fsdp: LoweredFsdp | None) -> bool:
    """Whether a plan keeps gradients in float16: small ones vanish if the loss is not scaled
    (`planc.torch.train.grad_scaler`)."""
    return fsdp is not None and "fp16" in (fsdp.settings.get("params"), fsdp.settings.get("reduce"))


def _is_compatible(name: str, dtype: str, precision: str, needed: str) -> bool:
    # Reductions and outputs may have a wider dtype than the weights, and autocast does not change parameters.
    if dtype == "fp32" and needed != "fp64" and (name != "params" or precision in _AUTOCAST_PRECISION):
        return True
    return dtype == needed


def _conflict_message(fsdp: LoweredFsdp, name: str, dtype: str, precision: str, needed: str) -> str:
    means = "computes in" if precision in _AUTOCAST_PRECISION else "has weights in"
    other = f"'{name}: {needed}' in the plan, or " if needed != "fp64" else ""
    return (
        f"'{name}: {dtype}' in the block 'fsdp {fsdp.axis}' of the plan {_SETTING_MEANING[name]} {dtype}, "
        f"and precision='{precision}' {means} {needed}: needed: {other}"
        f"precision='32-true', with which the plan alone decides"
    )
