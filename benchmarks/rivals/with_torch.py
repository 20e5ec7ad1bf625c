"""torch by hand: `parallelize_module` and `fully_shard`, as in torch's tutorial on tensor parallelism for
Llama and in torchtitan.

Two things differ from the tutorial. Heads are local tensors, since transformers' attention counts
them itself. And since transformers' Llama derives positions from the length of its embeddings, these
are replicated after the table, and the first layer takes its slice; planc's plan does the same.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    PrepareModuleInput,
    RowwiseParallel,
    SequenceParallel,
    loss_parallel,
    parallelize_module,
)
from torch.distributed.tensor.parallel.style import ParallelStyle

from rivals.rival import Rival, adamw
from rivals.setting import Setting, unsplit_model


def build(setting: Setting) -> Rival:
    """A model split by hand."""
    model = unsplit_model(setting)
    mesh = init_device_mesh(setting.device.type, (setting.dp, setting.tp), mesh_dim_names=("dp", "tp"))
    split_by_hand(model, setting, mesh["dp"], mesh["tp"])
    optimizer = adamw(model, setting.device)
    return Rival(model, optimizer, loss_parallel) if setting.tp > 1 else Rival(model, optimizer)


def split_by_hand(model: Any, setting: Setting, dp: DeviceMesh, tp: DeviceMesh) -> None:
    """Apply tensor parallelism, then recompute, compile and FSDP, in the order that torch needs. In place."""
    if setting.tp > 1:
        parallelize_module(model, tp, _outer())
        for layer in model.model.layers:
            parallelize_module(layer, tp, _layer())
    layers = model.model.layers
    for i in range(len(layers)):
        if setting.recomputed:
            layers[i] = checkpoint_wrapper(layers[i], preserve_rng_state=False)
        if setting.compiled:
            layers[i] = torch.compile(layers[i])
    if setting.tp > 1:
        # Outside of the compiled layer: torch 2.13 drops the gradient of a tensor that enters it before its
        # collective is done, so the embedding would not train (github.com/pytorch/pytorch/pull/191113).
        parallelize_module(layers[0], tp, _first())
    if setting.dp > 1:
        _shard(model, setting, dp)


def _outer() -> dict[str, ParallelStyle]:
    return {
        "model.embed_tokens": RowwiseParallel(input_layouts=Replicate(), output_layouts=Replicate()),
        "model.norm": SequenceParallel(),
        "lm_head": ColwiseParallel(
            input_layouts=Shard(1), output_layouts=Shard(-1), use_local_output=False
        ),
    }  # fmt: skip


def _first() -> ParallelStyle:
    return PrepareModuleInput(
        input_layouts=(Replicate(),), desired_input_layouts=(Shard(1),), use_local_output=True
    )  # fmt: skip


def _layer() -> dict[str, ParallelStyle]:
    return {
        "input_layernorm": SequenceParallel(),
        "self_attn": PrepareModuleInput(
            input_kwarg_layouts={"hidden_states": Shard(1)},
            desired_input_kwarg_layouts={"hidden_states": Replicate()},
        ),
        "self_attn.q_proj": ColwiseParallel(),
        "self_attn.k_proj": ColwiseParallel(),
        "self_attn.v_proj": ColwiseParallel(),
        "self_attn.o_proj": RowwiseParallel(output_layouts=Shard(1)),
        "post_attention_layernorm": SequenceParallel(),
        "mlp": PrepareModuleInput(input_layouts=(Shard(1),), desired_input_layouts=(Replicate(),)),
        "mlp.gate_proj": ColwiseParallel(),
        "mlp.up_proj": ColwiseParallel(),
        "mlp.down_proj": RowwiseParallel(output_layouts=Shard(1)),
    }


def _shard(model: Any, setting: Setting, mesh: DeviceMesh) -> None:
    policy = MixedPrecisionPolicy(param_dtype=setting.compute_dtype, reduce_dtype=torch.float32)
    shard = partial(fully_shard, mesh=mesh, mp_policy=policy)
    for layer in model.model.layers:
        shard(layer)
    # The backward pass needs these first.
    last: list[nn.Module] = [model.model.norm, model.lm_head]
    shard(last, reshard_after_forward=False)
    shard(model)
