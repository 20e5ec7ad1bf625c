"""A setting, a value, a loss or a mode that planc does not have.

The settings of `fsdp` are params, reduce and output (bf16, fp16 or fp32), and
offload (cpu or none); a unit may say keep or reshard(N). `recompute` knows full and
save(matmul, attention, collective). The settings of `compile` are mode (as torch.compile
names them), backend (any name), dynamic and fullgraph (true or false), that of `tensor` is
overlap (true or false). The loss is vocab_parallel, or whole.

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

from planc.blocks import KINDS
from planc.blocks.recompute import MODES, SAVED
from planc.blocks.settings import Setting
from planc.blocks.tensor import Loss
from planc.checks.walk import blocks, broken, entries, of_type
from planc.ir.diagnostic import Diagnostic, replace
from planc.ir.document import Place
from planc.ir.expr import show
from planc.ir.settled import Settings, Settled
from planc.near import listed, nearest
from planc.styles import LOSSES

_TORCH = {"float32": "fp32", "float16": "fp16", "half": "fp16", "bfloat16": "bf16"}
"""Dtypes by the names that torch gives them."""


def check(settled: Settled, settings: Settings) -> Iterator[Diagnostic]:
    for block, place in blocks(settled):
        for i, setting in enumerate(getattr(block, "settings", ())):
            yield from _setting(block.kind, setting, place.at("settings", i))
    for loss, place in of_type(settled, Loss):
        if loss.style not in LOSSES:
            yield _unknown("loss", loss.style, LOSSES, place, "style")
    for region, place in entries(settled, "recompute"):
        if region.mode is not None and region.mode not in MODES:
            yield _unknown("mode of recompute", region.mode, MODES, place, "mode")
        for i, name in enumerate(region.save):
            if name not in SAVED:
                yield _unknown("kind of operation to save", name, SAVED, place, "save", i)


def _setting(kind: str, setting: Setting, place: Place) -> Iterator[Diagnostic]:
    known = KINDS[kind].settings
    if setting.name not in known:
        yield _unknown(f"setting of {kind}", setting.name, known, place, "name")
        return
    values, value = known[setting.name], setting.value
    got = value if isinstance(value, str) else show(value)
    if values is None:
        if not isinstance(value, str):
            label = place.label("", "value")
            yield broken("N105", label, f"{setting.name} is a name, not '{got}'", "needed: any name")
    elif not any(value == one and type(value) is type(one) for one in values):
        said = [v if isinstance(v, str) else show(v) for v in values]
        yield _unknown(f"value of {setting.name}", got, said, place, "value")


def _unknown(what: str, got: str, known: Iterable[str], place: Place, *path: str | int) -> Diagnostic:
    names = list(known)
    label = place.label("", *path)
    return broken("N105", label, f"there is no {what} '{got}'", f"needed: {listed(names)}",
                  fix=replace(label, _TORCH.get(got) or nearest(got, names)))  # fmt: skip
