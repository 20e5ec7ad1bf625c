"""Compiled layers under a plan: their numbers, and how many graphs they are."""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch._dynamo.utils import counters
from torch.distributed.device_mesh import init_device_mesh

import planc
from tests.apply.models import BATCH, inputs_of
from tests.judge.compare import family
from tests.judge.families import FAMILIES


def llama(sizes: dict[str, int], layers: int, recompute: bool) -> dict[str, Any]:
    """How far gradients are off, the graphs that were compiled, and their breaks."""
    made = FAMILIES["llama"]
    whole, model = (
        family(made.model, made.settings | {"num_hidden_layers": layers})[0].float() for _ in range(2)
    )
    mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    lines = "plan small\nextends llama\nfsdp dp { override params: fp32 }\n"
    lines += "" if recompute else "recompute { remove block }\n"
    compile_ = nn.Module.compile
    torch._dynamo.reset()
    counters.clear()
    with (
        mock.patch.dict(os.environ, {"TORCH_COMPILE_DISABLE": "0"}),
        mock.patch.object(nn.Module, "compile", lambda self: compile_(self, backend="aot_eager")),
        torch._dynamo.config.patch(disable=False),
    ):
        planc.parallelize(model, planc.parse(lines), mesh)
        ids, rows, part = inputs_of("llama")["input_ids"], BATCH // sizes["dp"], mesh["dp"].get_local_rank()
        whole(input_ids=ids, use_cache=False).logits.square().sum().backward()
        logits = model(input_ids=ids[part * rows : (part + 1) * rows], use_cache=False).logits
        (logits.local.square().sum() * sizes["dp"]).backward()
    needed = dict(whole.named_parameters())
    worst = max(
        float((p.grad.full_tensor() - needed[key].grad).abs().max() / needed[key].grad.abs().max())
        for key, p in model.named_parameters()
    )
    return {
        "worst": worst, "graphs": counters["stats"]["unique_graphs"],
        "breaks": sorted(reason.partition("\n")[0] for reason in counters["graph_break"]),
    }  # fmt: skip
