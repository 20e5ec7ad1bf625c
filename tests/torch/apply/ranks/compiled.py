"""Compiled layers under a plan: their numbers, how many graphs they are, and what these compute."""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from functorch.compile import make_boxed_func, min_cut_rematerialization_partition
from torch import nn
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.utils import counters
from torch.distributed.device_mesh import init_device_mesh

import planc
from tests.judge.compare import build_family
from tests.judge.families import FAMILIES
from tests.torch.apply.ranks.models import BATCH, example_inputs
from tests.torch.apply.ranks.overlap import count_overlapped
from tests.torch.apply.ranks.recompute import OP_KINDS

_ran: dict[str, Counter[str]] = {"forward": Counter(), "backward": Counter()}
"""Operations of the graphs that were compiled, forward and backward."""


def _counting_compiler(direction: str) -> Any:
    def compiler(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        for node in graph.graph.nodes:
            # What may draw random numbers is called by an operator that keeps their state.
            for target in (node.target, *node.args):
                name = getattr(getattr(target, "_schema", None), "name", "").partition("::")[2]
                _ran[direction].update(kind for kind, names in OP_KINDS.items() if name in names)
        return make_boxed_func(graph)

    return compiler


_counting_backend = aot_autograd(
    fw_compiler=_counting_compiler("forward"),
    bw_compiler=_counting_compiler("backward"),
    partition_fn=min_cut_rematerialization_partition,
)


@contextmanager
def compile_enabled() -> Iterator[None]:
    """Compiling, which these processes have turned off."""
    torch._dynamo.reset()
    counters.clear()
    for found in _ran.values():
        found.clear()
    if "planc_counted" not in torch.compiler.list_backends(()):
        torch._dynamo.register_backend(_counting_backend, name="planc_counted")
    with (
        mock.patch.dict(os.environ, {"TORCH_COMPILE_DISABLE": "0"}),
        torch._dynamo.config.patch(disable=False),
    ):
        yield


def compiled_step(
    sizes: dict[str, int],
    mode: str | None,
    name: str = "llama",
    layers: dict[str, int] | None = None,
    overlap: bool = False,
) -> dict[str, Any]:
    """How far gradients are off, the graphs that were compiled, their breaks, and what is in them."""
    made = FAMILIES[name]
    whole, model = (build_family(made.model, made.settings | (layers or {}))[0].float() for _ in range(2))
    mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    lines = f"plan small\nextends {name}\nfsdp dp {{ override params: fp32 }}\n"
    lines += "tensor tp { overlap: true }\n" * overlap
    lines += (
        f"compile {{\nbackend: planc_counted, fullgraph: true\n{'' if name == 'llama' else 'block'}\n}}\n"
    )
    lines += f"recompute {{ {'remove block' if mode is None else f'override block {mode}'} }}\n"
    with compile_enabled(), count_overlapped():
        planc.parallelize(model, planc.parse(lines), mesh)
        ids, rows, part = example_inputs(name)["input_ids"], BATCH // sizes["dp"], mesh["dp"].get_local_rank()
        whole(input_ids=ids, use_cache=False).logits.square().sum().backward()
        logits = model(input_ids=ids[part * rows : (part + 1) * rows], use_cache=False).logits
        (logits.local.square().sum() * sizes["dp"]).backward()
    return {
        "worst": _worst_gradient_error(model, whole), "graphs": counters["stats"]["unique_graphs"],
        "breaks": sorted(reason.partition("\n")[0] for reason in counters["graph_break"]),
        **{direction: dict(found) for direction, found in _ran.items()},
    }  # fmt: skip


def _worst_gradient_error(model: nn.Module, whole: nn.Module) -> float:
    needed = dict(whole.named_parameters())
    return max(
        float((_full(p.grad) - needed[key].grad).abs().max() / needed[key].grad.abs().max())  # type: ignore[union-attr]
        for key, p in model.named_parameters()
        # Fused ones lie in the order of the ranks; what is below them has right gradients if they have.
        if "c_attn" not in key
    )


def _full(x: Any) -> torch.Tensor:
    found: torch.Tensor = x.full_tensor() if hasattr(x, "full_tensor") else x
    return found


def compile_options(lines: str) -> list[Any]:
    """With which arguments torch compiles; and whether a copy of a compiled module is its own."""
    reported: list[Any] = []

    def compile_(forward: Any, **options: Any) -> Any:
        reported.append(options)

        def compiled(*args: Any) -> Any:
            return forward(*args)

        return compiled

    model, mesh = nn.Sequential(nn.Linear(3, 3)), init_device_mesh("cpu", (1,), mesh_dim_names=("dp",))
    with (
        mock.patch.dict(os.environ, {"TORCH_COMPILE_DISABLE": "0"}),
        mock.patch.object(torch, "compile", compile_),
    ):
        try:
            planc.parallelize(
                model, planc.parse(f"mesh dp\ncompile {{\n{lines}\n0\n}}\n"), mesh, inputs=[torch.ones(2, 3)]
            )
        except planc.PlanError as refused:
            return [*refused.reasons, "forward" in vars(model[0])]
        other = copy.deepcopy(model)
        with torch.no_grad():
            other[0].weight.zero_()
            other[0].bias.zero_()
        reported.append(float(other(torch.ones(3)).abs().sum()))
    return reported
