"""planc: the shipped plan of Llama, adapted to the setting."""

from __future__ import annotations

import torch
from torch.distributed.device_mesh import init_device_mesh

import planc
from rivals.rival import Rival, adamw
from rivals.setting import Setting, unsplit_model

PLAN = """\
plan rivals
extends llama
override mesh dp, tp

fsdp dp { override params: %s }
"""


def build(setting: Setting, more: str = "") -> Rival:
    """A model split by the plan.

    Args:
        more: further lines of the plan.
    """
    model = unsplit_model(setting)
    mesh = init_device_mesh(setting.device.type, (setting.dp, setting.tp), mesh_dim_names=("dp", "tp"))
    planc.parallelize(model, planc.parse(plan_text(setting) + more), mesh)
    return Rival(model, adamw(model, setting.device))


def plan_text(setting: Setting) -> str:
    """The plan. The shipped one compiles and recomputes each layer; this one only where the setting does."""
    lines = PLAN % ("bf16" if setting.compute_dtype == torch.bfloat16 else "fp32")
    for kind, wanted in (("recompute", setting.recomputed), ("compile", setting.compiled)):
        lines += "" if wanted else f"{kind} {{ remove block }}\n"
    return lines
