"""planc's side: the shipped plan of Llama, without what the setting does not have."""

from __future__ import annotations

import torch
from torch.distributed.device_mesh import init_device_mesh

import planc
from rivals.rival import Rival, adamw
from rivals.setting import Setting, whole

PLAN = """\
plan rivals
extends llama
override mesh dp, tp

fsdp dp { override params: %s }
"""


def build(setting: Setting, more: str = "") -> Rival:
    """A model that a plan has split; `more`: what the plan says beside."""
    model = whole(setting)
    mesh = init_device_mesh(setting.device.type, (setting.dp, setting.tp), mesh_dim_names=("dp", "tp"))
    planc.parallelize(model, planc.parse(text(setting) + more), mesh)
    return Rival(model, adamw(model, setting.device))


def text(setting: Setting) -> str:
    """The plan. The shipped one compiles and recomputes each block."""
    lines = PLAN % ("bf16" if setting.low == torch.bfloat16 else "fp32")
    for kind, wanted in (("recompute", setting.recomputed), ("compile", setting.compiled)):
        lines += "" if wanted else f"{kind} {{ remove block }}\n"
    return lines
