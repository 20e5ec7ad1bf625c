"""Lightning: its own ModelParallelStrategy in Fabric, with the code of `with_torch`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.model_parallel import ModelParallelStrategy
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor.parallel import loss_parallel

from rivals import with_torch
from rivals.rival import Rival, adamw
from rivals.setting import Setting, unsplit_model


def build(setting: Setting) -> Rival:
    """A model split by hand and trained by Fabric, in the existing process group."""

    def split(model: Any, mesh: DeviceMesh) -> Any:
        with_torch.split_by_hand(model, setting, mesh["data_parallel"], mesh["tensor_parallel"])
        return model

    strategy = ModelParallelStrategy(split, setting.dp, setting.tp)
    fabric = Fabric(
        accelerator=setting.device.type, devices=setting.dp * setting.tp, strategy=strategy,
        # As in the other rivals: FSDP has its own mixed-precision policy.
        precision="bf16-true" if setting.weight_dtype == torch.bfloat16 else "32-true",
    )  # fmt: skip
    fabric.launch()
    model = fabric.setup_module(unsplit_model(setting))
    optimizer = fabric.setup_optimizers(adamw(model, setting.device))
    context = loss_parallel if setting.tp > 1 else nullcontext
    return Rival(model, optimizer, context, fabric.backward)
