"""Regions that are run again in the backward pass: gradients, and which operations run twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.utils._python_dispatch import TorchDispatchMode

import planc
from tests.torch.apply.ranks.fsdp import BATCH, parallelized_toy
from tests.torch.apply.ranks.models import build_model, example_inputs

OP_KINDS = {
    "matmul": ("mm", "addmm", "bmm"),
    "attention": ("_scaled_dot_product_flash_attention_for_cpu",),
    "collective": (
        "all_gather_into_tensor", "reduce_scatter_tensor", "all_reduce", "all_gather", "reduce_scatter",
    ),
    "other": ("silu", "rsqrt", "native_layer_norm", "relu"),
}  # fmt: skip
"""Operations of the forward pass, of each kind."""


class OpCounter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.found[func._schema.name.partition("::")[2]] += 1
        return func(*args, **(kwargs or {}))

    def count_by_kind(self) -> dict[str, int]:
        return {kind: sum(self.found[name] for name in names) for kind, names in OP_KINDS.items()}


def llama_step(graph: str, sizes: dict[str, int], mode: str | None) -> dict[str, Any]:
    """Operations of the forward and of the backward pass, bytes kept between them, and the gradients' sums."""
    model = build_model("llama")
    mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    lines = "plan small\nextends llama\nfsdp dp { override params: fp32 }\nrecompute {\n"
    lines += "remove block" if mode is None else f"override block {mode}"
    planc.parallelize(model, planc.parse(lines + "\n}\n"), mesh, graph=graph)
    rows = BATCH // 2 // sizes["dp"]
    part = mesh["dp"].get_local_rank()
    ids = example_inputs("llama")["input_ids"][part * rows : (part + 1) * rows]
    return _forward_backward(model, {"input_ids": ids, "use_cache": False})


def toy_step(sizes: dict[str, int], more: str) -> dict[str, Any]:
    """The same of a model whose regions are single layers."""
    _, model, mesh = parallelized_toy(sizes, ["blocks.*", "root"], more)
    rows = BATCH // sizes["dp"]
    part = mesh["dp"].get_local_rank() if sizes["dp"] > 1 else 0
    ids = torch.randint(0, 11, (BATCH, 3), generator=torch.Generator().manual_seed(1))
    return _forward_backward(model, {"ids": ids[part * rows : (part + 1) * rows]})


def _forward_backward(model: nn.Module, inputs: dict[str, Any]) -> dict[str, Any]:
    kept = [0]

    def keep(x: torch.Tensor) -> torch.Tensor:
        kept[0] += x.numel() * x.element_size()
        return x

    forward, backward = OpCounter(), OpCounter()
    with forward, torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        result = model(**inputs)
        logits = getattr(result, "logits", result)
        loss = getattr(logits, "local", logits).float().square().mean()
    with backward:
        loss.backward()
    grads = [
        float(getattr(g, "_local_tensor", g).double().abs().sum())
        for g in (p.grad for p in model.parameters())
        if g is not None
    ]
    return {
        "forward": forward.count_by_kind(),
        "backward": backward.count_by_kind(),
        "kept": kept[0],
        "gradients": grads,
    }
