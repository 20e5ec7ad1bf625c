"""Models and checkpoints that Lightning's own strategy does not take, under a plan."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

import planc
from planc.lightning import ModelParallelStrategy
from planc.torch.compat import fsdp_param_groups
from tests.lightning.ranks import checkpoints as saved
from tests.lightning.ranks.models import (
    BODY,
    Model,
    body_plan,
    full_tensor,
    make_trainer,
    max_difference,
    max_loss_difference,
    reference_run,
    seeded_model,
)
from tests.lightning.ranks.upstream_failures import optimizer_of, split_strategy

Report = dict[str, Any]
PREFIX = {"wrapped": "body._checkpoint_wrapped_module.", "compiled": "body._orig_mod."}
"""The names of what wrappers hold."""


def from_meta(family: str, tied: bool) -> Report:
    """A model that each rank allocates its part of, trained; fit, then test, then fit again."""
    torch.manual_seed(3)
    model = saved.LanguageModel(family, meta=True, tied=tied)
    made = make_trainer(
        saved.make_strategy(family, 2, 2), 4, max_steps=saved.STEPS, limit_test_batches=1,
        use_distributed_sampler=False,
    )  # fmt: skip
    os.environ["PL_GLOBAL_SEED"] = "3"
    with warnings.catch_warnings(record=True) as kept:
        warnings.simplefilter("always")
        made.fit(model)
    losses, _ = saved.uninterrupted_run(family, tied=tied)
    before = {name: full_tensor(p) for name, p in model.named_parameters()}
    made.test(model)
    same = all(torch.equal(full_tensor(p), before[name]) for name, p in model.named_parameters())
    inner = model.model
    return {
        "losses": max_loss_difference(model.losses, losses[: saved.STEPS]),
        "after test": same and bool(torch.isfinite(made.callback_metrics["test"])),
        "tied": inner.lm_head.weight is inner.model.embed_tokens.weight,
        "warned": [str(one.message) for one in kept if "initial" in str(one.message)],
        "lives": dist.is_initialized(),
    }


class VariantModel(Model):
    """Variants that need nothing but a plan."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        if kind == "wrapped":
            self.body = checkpoint_wrapper(self.body)
        if kind == "compiled":
            self.body = torch.compile(self.body, backend="eager")  # type: ignore[assignment]

    def configure_optimizers(self) -> Any:
        return optimizer_of("sgd" if self.kind == "sgd" else "", self.parameters())


def variant_models(kind: str, folder: str, sharded: bool) -> Report:
    """An epoch, a checkpoint, and another epoch in a new model; against two epochs in one go."""
    path = os.path.join(folder, "one.ckpt")

    def fit(epochs: int, *, save: bool = False, resume: bool = False) -> Model:
        torch.manual_seed(8 if resume else 7)
        model = VariantModel(kind)
        strategy = _strategy_for_world(sharded, PREFIX.get(kind, "body."))
        made = make_trainer(strategy, dist.get_world_size(), max_epochs=epochs)
        made.fit(model, ckpt_path=path if resume else None)
        if save:
            made.save_checkpoint(path)
        return model

    straight = fit(2)
    fit(1, save=True)
    resumed = fit(2, resume=True)
    return {
        "steps": len(resumed.losses),
        "losses": max_loss_difference(resumed.losses, straight.losses[4:]),
        "weights": max_difference(resumed, straight),
        "split": sum(isinstance(p, DTensor) for p in resumed.parameters()),
    }


def _strategy_for_world(sharded: bool, prefix: str = "body.") -> ModelParallelStrategy:
    count = dist.get_world_size()
    return ModelParallelStrategy(
        data_parallel_size=max(count // 2, 1), tensor_parallel_size=min(count, 2),
        plan=body_plan(prefix), save_distributed_checkpoint=sharded,
    )  # fmt: skip


def partial_checkpoints(folder: str, sharded: bool) -> Report:
    """`strict_loading=False`, weights without optimizers, and a surplus name."""
    path, light = os.path.join(folder, "all.ckpt"), os.path.join(folder, "light.ckpt")
    first = seeded_model(Model)
    made = make_trainer(_strategy_for_world(sharded), dist.get_world_size(), max_steps=2)
    made.fit(first)
    made.save_checkpoint(path)
    made.save_checkpoint(light, weights_only=True)
    notes, found = [], {}

    def refit(model: Model, path: str, steps: int) -> str:
        with warnings.catch_warnings(record=True) as kept:
            warnings.simplefilter("always")
            try:
                make_trainer(_strategy_for_world(sharded), dist.get_world_size(), max_steps=steps).fit(
                    model, ckpt_path=path
                )
            except planc.WeightsError as bad:
                return str(bad)
        notes.append([str(one.message) for one in kept if "planc" in str(one.message)])
        return ""

    smaller = WithoutBias()
    found["strict"] = refit(smaller, path, 2)
    smaller.strict_loading = False
    found["loose"] = refit(smaller, path, 2)
    found["loaded"] = torch.equal(full_tensor(smaller.body.up.weight), full_tensor(first.body.up.weight))
    fresh = seeded_model(Model)
    found["weights alone"] = refit(fresh, light, 2)
    found["notes"] = notes
    return found


class WithoutBias(Model):
    """Without a bias that was saved."""

    def __init__(self) -> None:
        super().__init__()
        self.body.down.bias = None


def cpu_offload() -> Report:
    """Offloaded shards after `fit` and `test`; in the types of the plan's policy."""
    text = BODY.replace(
        "fsdp dp { root }", "fsdp dp {\n    params: bf16, reduce: fp32\n    offload: cpu\n    root\n}"
    )
    for name in ("up ", "gate ", "down "):
        text = text.replace(f"    {name}", f"    body.{name}")
    seen: Report = {}

    class Watched(Model):
        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            out = self(batch[0])
            seen["computed"] = str(out.dtype)
            return out.float().pow(2).mean()

    model = seeded_model(Watched)
    made = make_trainer(ModelParallelStrategy(2, 2, plan=planc.parse(text)), 4, max_steps=1)
    made.fit(model)
    units = [module for module in model.modules() if isinstance(module, FSDPModule)]
    policies = [str(group.offload_policy) for unit in units for group in fsdp_param_groups(unit)]
    return {**seen, "weights": sorted({str(p.dtype) for p in model.parameters()}), "policies": policies}


def precisions() -> Report:
    """The Trainer's own precision: the type of weights and of what is computed."""
    found = {}
    for precision in ("32-true", "bf16-true", "bf16-mixed"):
        seen: Report = {}

        class Watched(Model):
            def training_step(self, batch: list[Tensor], index: int) -> Tensor:
                out = self(batch[0].to(self.body.up.weight.dtype))
                self.seen = str(out.dtype)
                return out.float().pow(2).mean()

        model = seeded_model(Watched)
        make_trainer(split_strategy(), 4, max_steps=1, precision=precision).fit(model)
        seen["computed"] = model.seen
        found[precision] = [*sorted({str(p.dtype) for p in model.parameters()}), seen["computed"]]
    return found


def url_checkpoint() -> Report:
    """A checkpoint in memory, and none in a local folder of that name."""
    first = seeded_model(Model)
    made = make_trainer(_strategy_for_world(True), 1, max_steps=2)
    made.fit(first)
    made.save_checkpoint("memory://planc/two.ckpt")
    second = Model()
    make_trainer(_strategy_for_world(True), 1, max_steps=2).fit(second, ckpt_path="memory://planc/two.ckpt")
    return {"off": max_difference(second, first), "local": os.path.exists("memory:")}


def stale_shards(folder: str) -> Report:
    """A folder that four ranks wrote, and one rank wrote again."""
    path = Path(folder, "one.ckpt")
    made = make_trainer(_strategy_for_world(True), dist.get_world_size(), max_steps=1)
    made.fit(seeded_model(Model))
    made.save_checkpoint(path)
    return {"shards": sorted(one.name for one in path.glob("*.distcp"))}


def weight_averaging() -> Report:
    """The callback that docs/lightning.md shows, against averages by hand."""
    page = Path(__file__).parents[3].joinpath("docs", "lightning.md").read_text(encoding="utf-8")
    code = next(text for text in page.split("```text\n")[1:] if text.startswith("class Averages"))
    names: Report = {"pl": pl, "torch": torch}
    exec(code.partition("```")[0], names)
    model = seeded_model(Model)
    make_trainer(split_strategy(), 4, max_steps=4, callbacks=[names["Averages"](0.5)]).fit(model)
    needed = {name: p.detach().clone() for name, p in reference_run(0)[1].named_parameters()}
    for steps in range(1, 5):
        for name, p in reference_run(steps)[1].named_parameters():
            needed[name] = (needed[name] + p.detach()) / 2
    own = dict(model.body.named_parameters())
    return {"off": max(float((full_tensor(own[name]) - needed[name]).abs().max()) for name in needed)}
