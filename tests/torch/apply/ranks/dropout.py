"""The random numbers of a split model: alike where ranks hold the same values, apart where they do not."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.utils._python_dispatch import TorchDispatchMode

import planc
from tests.torch.apply.ranks.models import build_model, example_inputs, plan_options, plan_text
from tests.torch.apply.ranks.training import compute_loss, run_model

DROPOUT_P = 0.1


def _model_with_dropout(name: str) -> nn.Module:
    model = build_model(name)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = DROPOUT_P
    return model


class MaskRecorder(TorchDispatchMode):
    """Keeps what is drawn under it, in this thread."""

    def __init__(self) -> None:
        super().__init__()
        self.masks: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func._schema.name in ("aten::bernoulli_", "aten::bernoulli"):
            self.masks.append(found.clone() != 0)
        elif func._schema.name == "aten::native_dropout":
            self.masks.append(found[1].clone())
        return found


def _step(
    name: str, sequence_parallel: bool, recompute: bool
) -> tuple[nn.Module, float, MaskRecorder, MaskRecorder]:
    """One step from one seed: what it drew forward and backward."""
    mesh = init_device_mesh("cpu", (1, 2), mesh_dim_names=("dp", "tp"))
    model, inputs = _model_with_dropout(name), example_inputs(name)
    plan = planc.parse(plan_text(name, recompute=recompute))
    planc.parallelize(model, plan, mesh, options=plan_options(name, sequence_parallel))
    torch.manual_seed(7)
    with MaskRecorder() as forward:
        results = run_model(model, inputs)
    loss = compute_loss(results, torch.ones(results["logits"].shape[:-1], dtype=torch.int64))
    with MaskRecorder() as backward:
        loss.backward()
    return model, float(loss), forward, backward


def dropout_masks(name: str, sequence_parallel: bool) -> dict[str, Any]:
    """The masks of one forward pass: their shapes, whether the ranks have the same ones, and what
    else should not be: masks that come again, ranks that draw differently afterwards."""
    _, _, drawn, _ = _step(name, sequence_parallel, recompute=False)
    every: list[Any] = [None, None]
    dist.all_gather_object(every, (drawn.masks, torch.get_rng_state()))
    (first, state), (second, other) = every
    repeated = [
        number
        for number, mask in enumerate(first)
        if any(mask.shape == earlier.shape and torch.equal(mask, earlier) for earlier in first[:number])
    ]
    return {
        "shapes": [list(mask.shape) for mask in first],
        "alike": [one.shape == two.shape and torch.equal(one, two) for one, two in zip(first, second, strict=True)],
        "dropped": [1 - float(mask.float().mean()) for mask in first],
        "repeated": repeated,
        "apart afterwards": not torch.equal(state, other),
    }  # fmt: skip


def recomputed_masks(name: str, sequence_parallel: bool) -> list[str]:
    """How a step whose blocks are recomputed differs from the same step with all kept."""
    kept, loss, drawn, none = _step(name, sequence_parallel, recompute=False)
    repeated, same_loss, first, second = _step(name, sequence_parallel, recompute=True)
    wrong = [f"{len(none.masks)} masks in a plain backward pass"] if none.masks else []
    if not second.masks:
        wrong.append("nothing is recomputed")
    if loss != same_loss:
        wrong.append(f"the loss is {same_loss}, not {loss}")
    if len(drawn.masks) != len(first.masks) or not all(map(torch.equal, drawn.masks, first.masks)):
        wrong.append("other masks forward")
    for mask in second.masks:
        if not any(mask.shape == one.shape and torch.equal(mask, one) for one in first.masks):
            wrong.append(f"a mask of {list(mask.shape)} is new in the backward pass")
    for (key, one), other in zip(kept.named_parameters(), repeated.parameters(), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        if not torch.equal(_local_tensor(one.grad), _local_tensor(other.grad)):
            wrong.append(f"the gradient of {key}")
    return wrong


def _local_tensor(x: Any) -> Tensor:
    found: Tensor = x.to_local()
    return found
