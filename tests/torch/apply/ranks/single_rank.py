"""What `planc.parallelize` leaves behind where the axes of a mesh have one rank."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.nn.modules import module as every
from torch.optim import optimizer as stepping

import planc
from tests.torch.apply.ranks.models import build_model, example_inputs, plan_text
from tests.torch.apply.ranks.training import compute_loss, run_model

STEPS = 3


def changes_left(name: str, sizes: dict[str, int]) -> dict[str, Any]:
    """What is another thing after a shipped plan is applied, in the model and beside it; and what
    trains otherwise. Regions are not looked at: they do not depend on the mesh."""
    model = _model_with_dropout(name)
    whole, before, globals_before = copy.deepcopy(model), _snapshot(model), _global_state()
    _apply(name, model, sizes)
    found = _snapshot(model)
    changed = [key for key in before | found if before.get(key) != found.get(key)]
    changed += [key for key, item in _global_state().items() if item != globals_before[key]]
    return {"changed": changed, "keys": list(model.state_dict()) == list(whole.state_dict()),
            "differs": _mismatches(_train(model, name), _train(whole, name))}  # fmt: skip


def axes_in_use(name: str, sizes: dict[str, int]) -> dict[str, Any]:
    """Which axes show in the parameters, whether FSDP has a module, and whether a module has a
    forward or hooks of planc's."""
    model = _model_with_dropout(name)
    _apply(name, model, sizes)
    modules = list(model.modules())
    placed = [parameter for parameter in model.parameters() if isinstance(parameter, DTensor)]
    return {
        "axes": sorted({axis for item in placed for axis in item.device_mesh.mesh_dim_names or ()}),
        "plain": len(list(model.parameters())) - len(placed),
        "fsdp": any(isinstance(module, FSDPModule) for module in modules),
        "forward": any("forward" in vars(module) for module in modules),
        # The model itself has the guard of calls.
        "hooks": any(_is_planc_hook(hook) for module in modules[1:] for hook in _hooks(module)),
    }


def _apply(name: str, model: nn.Module, sizes: dict[str, int]) -> None:
    mesh = init_device_mesh("cpu", tuple(sizes.values()), mesh_dim_names=tuple(sizes))
    plan = planc.parse(plan_text(name, pods="pod" in sizes, recompute=False, params="bf16"))
    planc.parallelize(model, plan, mesh)


def _model_with_dropout(name: str) -> nn.Module:
    """With chance: the streams of random numbers are to stay as they are, too."""
    model = build_model(name)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.1
    return model


def _snapshot(model: nn.Module) -> dict[str, Any]:
    """All that the modules hold, one by one: classes, hooks, parameters, whatever is set on them."""
    found: dict[str, Any] = {"config": model.config.to_dict()}  # type: ignore[operator, union-attr]
    for name, module in model.named_modules(remove_duplicate=False):
        found[f"{name} class"] = type(module)
        for key, item in vars(module).items():
            entries = {inner: id(one) for inner, one in item.items()} if isinstance(item, Mapping) else ()
            found[f"{name}.{key}"] = (id(item), entries)
    for name, parameter in model.named_parameters():
        found[f"{name} itself"] = (
            type(parameter),
            list(parameter._backward_hooks or ()),
            parameter.data_ptr(),
        )
    return found


def _global_state() -> dict[str, Any]:
    """Hooks of all modules and of all optimizers, and the streams of random numbers."""
    hooks = {
        f"{place.__name__}.{key}": list(item)
        for place in (every, stepping)
        for key, item in vars(place).items()
        if key.startswith("_global") and isinstance(item, Mapping)
    }
    return hooks | {"random": torch.get_rng_state().tolist()}


def _hooks(module: nn.Module) -> list[Any]:
    return [
        hook
        for key, entries in vars(module).items()
        if "hooks" in key and isinstance(entries, Mapping)
        for hook in entries.values()
    ]


def _is_planc_hook(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).startswith("planc")


def _train(model: nn.Module, name: str) -> dict[str, Tensor]:
    """Losses and gradients of some steps, and the weights after them."""
    torch.manual_seed(3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    found: dict[str, Tensor] = {}
    for step in range(STEPS):
        optimizer.zero_grad()
        results = run_model(model, example_inputs(name))
        loss = compute_loss(results, torch.ones(results["logits"].shape[:-1], dtype=torch.int64))
        loss.backward()
        optimizer.step()
        found[f"loss {step}"] = loss.detach()
        found |= {
            f"gradient {step} of {key}": p.grad for key, p in model.named_parameters() if p.grad is not None
        }
    return found | dict(model.state_dict())


def _mismatches(found: dict[str, Tensor], needed: dict[str, Tensor]) -> list[str]:
    """What is not the same to the last bit."""
    return [
        key
        for key in found | needed
        if key not in found or key not in needed or type(found[key]) is not type(needed[key])
        or not torch.equal(found[key], needed[key])
    ]  # fmt: skip
