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
from tests.apply.models import model_of, plan_of

_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks",
          "_load_state_dict_pre_hooks", "_state_dict_pre_hooks", "_load_state_dict_post_hooks")  # fmt: skip


def _mesh(*names: str, sizes: tuple[int, ...] = (1, 2)) -> DeviceMesh:
    return init_device_mesh("cpu", sizes, mesh_dim_names=names or None)


def _llama(*lines: str) -> str:
    return plan_of("llama") + "tensor tp {\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def _twice() -> nn.Module:
    model = model_of("llama")
    planc.parallelize(model, planc.parse(plan_of("llama")), _mesh("dp", "tp"))
    return model


def _odd() -> nn.Module:
    kind = type(model_of("llama"))
    config = model_of("llama").config
    config.num_key_value_heads, config.num_attention_heads, config.head_dim = 1, 1, 64
    return kind(config)


def _sharded() -> nn.Module:
    model = model_of("llama")
    fully_shard(model, mesh=_mesh("dp", sizes=(2,)))
    return model


Case = tuple[Callable[[], nn.Module], str, Callable[[], DeviceMesh], dict[str, Any]]
CASES: dict[str, Case] = {
    "two patterns match nothing": (
        lambda: model_of("llama"),
        _llama("block.mlp.upper_proj   colwise", "block.self_attn.side_proj   colwise"),
        lambda: _mesh("dp", "tp"),
        {},
    ),
    "the layouts do not meet": (
        lambda: model_of("llama"),
        _llama("remove block.mlp.down_proj", "override model.norm   replicate"),
        lambda: _mesh("dp", "tp"),
        {},
    ),
    "a plan of another model": (
        lambda: model_of("gpt2"),
        plan_of("llama"),
        lambda: _mesh("dp", "tp"),
        {},
    ),
    "a graph of another model": (
        lambda: model_of("llama"),
        plan_of("llama"),
        lambda: _mesh("dp", "tp"),
        {"graph": "llama-3-8b"},
    ),
    "a mesh without an axis": (
        lambda: model_of("llama"),
        plan_of("llama"),
        lambda: _mesh("dp", sizes=(2,)),
        {},
    ),
    "a mesh without an axis whose size the plan says": (
        lambda: model_of("llama"),
        plan_of("llama") + "override mesh dp=2, tp\n",
        lambda: _mesh("tp", sizes=(2,)),
        {},
    ),
    "a mesh with an axis too many": (
        lambda: model_of("llama"),
        plan_of("llama"),
        lambda: _mesh("tp", "dp", "ep", sizes=(1, 1, 2)),
        {},
    ),
    "an option that the plan does not have": (
        lambda: model_of("llama"),
        plan_of("llama"),
        lambda: _mesh("dp", "tp"),
        {"options": {"sequence": False}},
    ),
    "heads that the ranks cannot share": (
        _odd,
        plan_of("llama"),
        lambda: _mesh("dp", "tp"),
        {},
    ),
    "a mesh with other axes": (
        lambda: model_of("llama"),
        plan_of("llama"),
        lambda: _mesh("data", "model"),
        {},
    ),
    "a mesh without names": (lambda: model_of("llama"), plan_of("llama"), _mesh, {}),
    "a mesh of another size": (
        lambda: model_of("llama"),
        plan_of("llama") + "override mesh dp, tp=4\n",
        lambda: _mesh("dp", "tp"),
        {},
    ),
    "a model that is split already": (_twice, plan_of("llama"), lambda: _mesh("dp", "tp"), {}),
    "a model that FSDP has": (_sharded, plan_of("llama"), lambda: _mesh("dp", "tp"), {}),
    "a plan that cannot be read": (
        lambda: model_of("llama"),
        plan_of("llama") + "tensor tp {\n    a..b colwise\n}\nmesh what, ever,\n",
        lambda: _mesh("dp", "tp"),
        {},
    ),
}


def refused(name: str) -> dict[str, Any]:
    """What is said of a case, and what became of the model."""
    build, text, mesh, more = CASES[name]
    model = build()
    before, kept = _state(model), [p.detach().clone() for p in model.parameters()]
    try:
        planc.parallelize(model, _document(text), mesh(), **more)
    except planc.PlanError as bad:
        codes = [diagnostic.law.code for diagnostic in bad.diagnostics]
        reasons = list(bad.reasons)
    except ValueError as bad:
        codes, reasons = [], [str(bad)]
    else:
        return {"codes": [], "reasons": [], "changed": ["nothing was raised"]}
    changed = [key for key, item in _state(model).items() if before.get(key) != item]
    same = all(map(_equal, kept, model.parameters()))
    return {"codes": codes, "reasons": reasons, "changed": changed + ["numbers"] * (not same)}


def _document(text: str) -> str:
    path = os.path.join(tempfile.mkdtemp(prefix="planc-refused-"), "case.plan")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return type(one) is type(other.detach()) and torch.equal(_own(one), _own(other))


def _own(x: Any) -> torch.Tensor:
    found: torch.Tensor = x.to_local() if hasattr(x, "to_local") else x
    return found


def _state(model: nn.Module) -> dict[str, Any]:
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
