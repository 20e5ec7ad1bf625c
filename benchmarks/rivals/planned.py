"""planc's side: the shipped plan of Llama, with compiled and recomputed blocks by choice."""

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
option compiled = true
option recomputed = false

fsdp dp {{ override params: {low} }}
recompute {{ override block when recomputed }}
compile {{ override block when compiled }}
"""


def build(setting: Setting) -> Rival:
    """A model that a plan has split."""
    model = whole(setting)
    mesh = init_device_mesh(setting.device.type, (setting.dp, setting.tp), mesh_dim_names=("dp", "tp"))
    plan = planc.parse(PLAN.format(low="bf16" if setting.low == torch.bfloat16 else "fp32"))
    options = {"compiled": setting.compiled, "recomputed": setting.recomputed}
    planc.parallelize(model, plan, mesh, options=options)
    return Rival(model, adamw(model, setting.device))
