"""A setting, a value, a loss or a mode that planc does not have.

The settings of `fsdp` are params, reduce and output (bf16, fp16 or fp32), and
offload (cpu or none); a unit may say keep or reshard(N). `recompute` knows full and
save(matmul, attention, collective). The loss is vocab_parallel, or whole.

Wrong:

    mesh dp
    fsdp dp {
        params: float16
        root
    }

Right:

    mesh dp
    fsdp dp {
        params: fp16
        root
    }
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from planc.blocks.fsdp import SETTINGS, Setting
from planc.blocks.recompute import MODES, SAVED
from planc.blocks.tensor import Loss
from planc.checks.walk import broken, entries, of_type
from planc.ir.diagnostic import Diagnostic, replace
from planc.ir.document import Place
from planc.ir.expr import show
from planc.ir.settled import Settings, Settled
from planc.near import listed, nearest
from planc.styles import LOSSES

_TORCH = {"float32": "fp32", "float16": "fp16", "half": "fp16", "bfloat16": "bf16"}
"""Dtypes by the names that torch gives them."""


def check(settled: Settled, settings: Settings) -> Iterator[Diagnostic]:
    for setting, place in of_type(settled, Setting):
        if setting.name not in SETTINGS:
            yield _unknown("setting of fsdp", setting.name, SETTINGS, place, "name")
        elif setting.value not in SETTINGS[setting.name]:
            value = setting.value if isinstance(setting.value, str) else show(setting.value)
            values = [v if isinstance(v, str) else show(v) for v in SETTINGS[setting.name]]
            yield _unknown(f"value of {setting.name}", value, values, place, "value")
    for loss, place in of_type(settled, Loss):
        if loss.style not in LOSSES:
            yield _unknown("loss", loss.style, LOSSES, place, "style")
    for region, place in entries(settled, "recompute"):
        if region.mode is not None and region.mode not in MODES:
            yield _unknown("mode of recompute", region.mode, MODES, place, "mode")
        for i, name in enumerate(region.save):
            if name not in SAVED:
                yield _unknown("kind of operation to save", name, SAVED, place, "save", i)


def _unknown(what: str, got: str, known: Iterable[str], place: Place, *path: str | int) -> Diagnostic:
    names = list(known)
    label = place.label("", *path)
    return broken("N105", label, f"there is no {what} '{got}'", f"needed: {listed(names)}",
                  fix=replace(label, _TORCH.get(got) or nearest(got, names)))  # fmt: skip
