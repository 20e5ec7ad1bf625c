"""What `planc.parallelize` refuses, and that the model is then as it was."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard

import planc
from tests.torch.apply.ranks.models import build_model, plan_text

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks",
          "_load_state_dict_pre_hooks", "_state_dict_pre_hooks", "_load_state_dict_post_hooks")  # fmt: skip


def _mesh(*names: str, sizes: tuple[int, ...] = (1, 2)) -> DeviceMesh:
    return init_device_mesh("cpu", sizes, mesh_dim_names=names or None)


def _llama(*lines: str) -> str:
    return plan_text("llama") + "tensor tp {\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def _parallelized_twice() -> nn.Module:
    model = build_model("llama")
    planc.parallelize(model, planc.parse(plan_text("llama")), _mesh("dp", "tp"))
    return model


def _indivisible_heads() -> nn.Module:
    kind = type(build_model("llama"))
    config = build_model("llama").config
    config.num_key_value_heads, config.num_attention_heads, config.head_dim = 1, 1, 64
    return kind(config)


def _sharded_by_fsdp() -> nn.Module:
    model = build_model("llama")
    fully_shard(model, mesh=_mesh("dp", sizes=(2,)))
    return model


Case = tuple[Callable[[], nn.Module], str, Callable[[], DeviceMesh], dict[str, Any]]
CASES: dict[str, Case] = {
    "two patterns match nothing": (
        lambda: build_model("llama"),
        _llama("block.mlp.upper_proj   colwise", "block.self_attn.side_proj   colwise"),
        lambda: _mesh("dp", "tp"),
        {},
    ),
    "the layouts do not meet": (
        lambda: build_model("llama"),
        _llama("remove block.mlp.down_proj", "override model.norm   replicate"),
        lambda: _mesh("dp", "tp"),
        {},
    ),
    "a plan of another model": (
        lambda: build_model("gpt2"),
        plan_text("llama"),
        lambda: _mesh("dp", "tp"),
        {},
    ),
    "a graph of another model": (
        lambda: build_model("llama"),
        plan_text("llama"),
        lambda: _mesh("dp", "tp"),
        {"graph": "llama-3-8b"},
    ),
    "a mesh without an axis": (
        lambda: build_model("llama"),
        plan_text("llama"),
        lambda: _mesh("dp", sizes=(2,)),
        {},
    ),
    "a mesh without an axis whose size the plan says": (
        lambda: build_model("llama"),
        plan_text("llama") + "override mesh dp=2, tp\n",
        lambda: _mesh("tp", sizes=(2,)),
        {},
    ),
    "a mesh with an axis too many": (
        lambda: build_model("llama"),
        plan_text("llama"),
        lambda: _mesh("tp", "dp", "ep", sizes=(1, 1, 2)),
        {},
    ),
    "an option that the plan does not have": (
        lambda: build_model("llama"),
        plan_text("llama"),
        lambda: _mesh("dp", "tp"),
        {"options": {"sequence": False}},
    ),
    "heads that the ranks cannot share": (
        _indivisible_heads,
        plan_text("llama"),
        lambda: _mesh("dp", "tp"),
        {},
    ),
    "a mesh with other axes": (
        lambda: build_model("llama"),
        plan_text("llama"),
        lambda: _mesh("data", "model"),
        {},
    ),
    "a mesh without names": (lambda: build_model("llama"), plan_text("llama"), _mesh, {}),
    "a mesh of another size": (
        lambda: build_model("llama"),
        plan_text("llama") + "override mesh dp, tp=4\n",
        lambda: _mesh("dp", "tp"),
        {},
    ),
    "a model that is split already": (_parallelized_twice, plan_text("llama"), lambda: _mesh("dp", "tp"), {}),
    "a model that FSDP has": (_sharded_by_fsdp, plan_text("llama"), lambda: _mesh("dp", "tp"), {}),
    "a plan that cannot be read": (
        lambda: build_model("llama"),
        plan_text("llama") + "tensor tp {\n    a..b colwise\n}\nmesh what, ever,\n",
        lambda: _mesh("dp", "tp"),
        {},
    ),
}


def try_rejected_plan(name: str) -> dict[str, Any]:
    """What is said of a case, and what became of the model."""
    build, text, mesh, more = CASES[name]
    model = build()
    before, kept = _snapshot(model), [p.detach().clone() for p in model.parameters()]
    try:
        planc.parallelize(model, _write_plan(text), mesh(), **more)
    except planc.PlanError as bad:
        codes = [diagnostic.law.code for diagnostic in bad.diagnostics]
        reasons = list(bad.reasons)
    except ValueError as bad:
        codes, reasons = [], [str(bad)]
    else:
        return {"codes": [], "reasons": [], "changed": ["nothing was raised"]}
    changed = [key for key, item in _snapshot(model).items() if before.get(key) != item]
    same = all(map(_equal, kept, model.parameters()))
    return {"codes": codes, "reasons": reasons, "changed": changed + ["numbers"] * (not same)}


def _write_plan(text: str) -> str:
    path = os.path.join(tempfile.mkdtemp(prefix="planc-refused-"), "case.plan")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return type(one) is type(other.detach()) and torch.equal(_local_tensor(one), _local_tensor(other))


def _local_tensor(x: Any) -> torch.Tensor:
    found: torch.Tensor = x.to_local() if hasattr(x, "to_local") else x
    return found


def _snapshot(model: nn.Module) -> dict[str, Any]:
    """Everything that applying a plan could change, but the numbers."""
    found: dict[str, Any] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        found[f"{name} is"] = (id(module), type(module))
        found[f"{name} has"] = sorted(vars(module))
        for key, item in vars(module).items():
            if key in _HOOKS:
                found[f"{name}.{key}"] = list(item)
            elif isinstance(item, int | str):
                found[f"{name}.{key}"] = item
    for key, param in model.named_parameters(remove_duplicate=False):
        found[key] = (id(param), type(param), param.requires_grad)
    found["config"] = str(getattr(model, "config", None))
    return found
