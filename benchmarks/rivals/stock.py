"""Lightning's side: its own ModelParallelStrategy in Fabric, with the handwritten code."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.model_parallel import ModelParallelStrategy
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor.parallel import loss_parallel

from rivals import handwritten
from rivals.rival import Rival, adamw
from rivals.setting import Setting, whole


def build(setting: Setting) -> Rival:
    """A model that is split by hand, and driven by Fabric. The process group is the one there is."""

    def split(model: Any, mesh: DeviceMesh) -> Any:
        handwritten.split(model, setting, mesh["data_parallel"], mesh["tensor_parallel"])
        return model

    strategy = ModelParallelStrategy(split, setting.dp, setting.tp)
    fabric = Fabric(
        accelerator=setting.device.type, devices=setting.dp * setting.tp, strategy=strategy,
        # As in the other rivals: FSDP has a policy of its own.
        precision="bf16-true" if setting.weights == torch.bfloat16 else "32-true",
    )  # fmt: skip
    fabric.launch()
    model = fabric.setup_module(whole(setting))
    optimizer = fabric.setup_optimizers(adamw(model, setting.device))
    around = loss_parallel if setting.tp > 1 else nullcontext
    return Rival(model, optimizer, around, fabric.backward)
