"""A setting, a value, a loss or a mode that planc does not have.

The settings of `fsdp` are params, reduce and output (bf16, fp16 or fp32), and offload (cpu or
none); a unit may have keep or reshard(N). `recompute` knows full and save(matmul, attention,
collective). The settings of `compile` are mode (with torch.compile's names), backend (any
name), dynamic and fullgraph (true or false); that of `tensor` is overlap (true or false). The
loss is vocab_parallel, or whole.

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

from planc.checks.traversal import declared_blocks, records_of_type
from planc.closest import closest_match, join_names
from planc.ir.block_kinds import BLOCK_KINDS
from planc.ir.blocks import RECOMPUTE_MODES, SAVEABLE_OPS, Loss, Recompute, Setting
from planc.ir.diagnostic import Diagnostic, diagnostic
from planc.ir.document import PlanPath
from planc.ir.expr import format_value
from planc.ir.resolved import Resolved, Settings
from planc.ir.styles import LOSSES
from planc.ir.text_fixes import replacement_fix

_TORCH_DTYPES = {"float32": "fp32", "float16": "fp16", "half": "fp16", "bfloat16": "bf16"}
"""The dtypes of plans by their names in torch."""


def check(resolved: Resolved, settings: Settings) -> Iterator[Diagnostic]:
    for block, location in declared_blocks(resolved):
        for i, setting in enumerate(getattr(block, "settings", ())):
            yield from _setting(block.kind, setting, location.child("settings", i))
    for loss, location in records_of_type(resolved, Loss):
        if loss.style not in LOSSES:
            yield _unknown("loss", loss.style, LOSSES, location, "style")
    for region, location in records_of_type(resolved, Recompute):
        if region.mode is not None and region.mode not in RECOMPUTE_MODES:
            yield _unknown("mode of recompute", region.mode, RECOMPUTE_MODES, location, "mode")
        for i, name in enumerate(region.save):
            if name not in SAVEABLE_OPS:
                yield _unknown("kind of operation to save", name, SAVEABLE_OPS, location, "save", i)


def _setting(kind: str, setting: Setting, location: PlanPath) -> Iterator[Diagnostic]:
    known = BLOCK_KINDS[kind].settings
    if setting.name not in known:
        yield _unknown(f"setting of {kind}", setting.name, known, location, "name")
        return
    values, value = known[setting.name], setting.value
    got = value if isinstance(value, str) else format_value(value)
    if values is None:
        if not isinstance(value, str):
            label = location.label("", "value")
            yield diagnostic("N105", label, f"{setting.name} is a name, not '{got}'", "needed: any name")
    elif not any(value == one and type(value) is type(one) for one in values):
        allowed = [v if isinstance(v, str) else format_value(v) for v in values]
        yield _unknown(f"value of {setting.name}", got, allowed, location, "value")


def _unknown(noun: str, got: str, known: Iterable[str], location: PlanPath, *path: str | int) -> Diagnostic:
    names = list(known)
    label = location.label("", *path)
    return diagnostic("N105", label, f"there is no {noun} '{got}'", f"needed: {join_names(names)}",
                  fix=replacement_fix(label, _TORCH_DTYPES.get(got) or closest_match(got, names)))  # fmt: skip
