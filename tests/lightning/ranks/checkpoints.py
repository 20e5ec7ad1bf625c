"""Checkpoints of the Trainer: saved on one mesh, resumed on another."""

from __future__ import annotations

import os
from typing import Any
from unittest import mock

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning_utilities.core.rank_zero import rank_zero_only
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Subset, TensorDataset
from transformers import LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM

import planc
from planc.lightning import ModelParallelStrategy
from tests.lightning.ranks.models import (
    Model,
    body_plan,
    full_tensor,
    make_trainer,
    max_loss_difference,
    seeded_model,
)
from tests.lightning.ranks.upstream_failures import split_strategy

Report = dict[str, Any]
STEPS, MORE_STEPS, GLOBAL, LENGTH, VOCABULARY = 4, 5, 4, 8, 32
"""Steps before the checkpoint and after it."""
SAMPLES = 2 * GLOBAL * (STEPS + MORE_STEPS)
"""More than an epoch needs that is resumed: Lightning counts the steps before, too."""


def _ids() -> Tensor:
    return torch.randint(0, VOCABULARY, (SAMPLES, LENGTH + 1), generator=torch.Generator().manual_seed(2))


def build_model(family: str, tied: bool = False) -> torch.nn.Module:
    """A small model; that of phi3 has fused projections."""
    sizes: Report = {
        "vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 16,
        "pad_token_id": 0, "tie_word_embeddings": tied,
    }  # fmt: skip
    if family == "phi3":
        return Phi3ForCausalLM(Phi3Config(**sizes))
    return LlamaForCausalLM(LlamaConfig(**sizes))


class LanguageModel(pl.LightningModule):
    """A language model on random words."""

    def __init__(self, family: str, meta: bool = False, kind: str = "adamw", tied: bool = False) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.losses: list[float] = []
        self.model: Any = None if meta else build_model(family, tied)

    def configure_model(self) -> None:
        if self.model is None:
            with torch.device("meta"):
                self.model = build_model(self.hparams["family"], self.hparams["tied"])

    def training_step(self, ids: list[Tensor], index: int) -> Tensor:
        loss = self._loss(ids)
        self.log("loss", self.trainer.strategy.reduce(loss.detach().clone()))
        self.losses.append(float(self.trainer.callback_metrics["loss"]))
        return loss

    def test_step(self, ids: list[Tensor], index: int) -> None:
        self.log("test", self._loss(ids), sync_dist=True)

    def _loss(self, ids: list[Tensor]) -> Tensor:
        logits = self.model(ids[0][:, :-1]).logits
        return cross_entropy(logits.flatten(0, 1), ids[0][:, 1:].flatten())

    def train_dataloader(self) -> DataLoader[Any]:
        """What comes after the steps that were made."""
        left = list(range(self.trainer.global_step * GLOBAL, SAMPLES))
        mesh = self.trainer.strategy.device_mesh["data_parallel"]
        own = left[mesh.get_local_rank() :: mesh.size()]
        return DataLoader(Subset(TensorDataset(_ids()), own), GLOBAL // mesh.size())

    test_dataloader = train_dataloader

    def configure_optimizers(self) -> Any:
        if self.hparams["kind"] == "sgd":
            return torch.optim.SGD(self.parameters(), lr=0.1)
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2, eps=1e-4)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)]


def uninterrupted_run(family: str, kind: str = "adamw", tied: bool = False) -> tuple[list[float], Any]:
    """All steps in plain torch."""
    torch.manual_seed(3)
    model: Any = build_model(family, tied)
    if kind == "sgd":
        optimizer: Any = torch.optim.SGD(model.parameters(), lr=0.1)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, eps=1e-4)
    losses = []
    for step in range(STEPS + MORE_STEPS):
        ids = _ids()[step * GLOBAL : (step + 1) * GLOBAL]
        loss = cross_entropy(model(ids[:, :-1]).logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, model


def make_strategy(family: str, dp: int, tp: int, **given: Any) -> ModelParallelStrategy:
    plan = shipped_plan(family)
    return ModelParallelStrategy(
        data_parallel_size=dp, tensor_parallel_size=tp, plan=plan, plan_target="model", **given
    )


def shipped_plan(family: str) -> Any:
    """The shipped plan of a family, in float32, and not compiled."""

    text = f"plan small\nextends {family}\nfsdp dp {{\n    override params: fp32\n}}\ncompile {{\n    remove model.layers.*\n}}\n"
    return planc.parse(text)


def save_checkpoints(
    family: str, dp: int, tp: int, folder: str, sharded: bool, background: bool, **given: Any
) -> Report:
    """Train, and let ModelCheckpoint keep the best two, the last as a link, and every second step."""
    keep = ModelCheckpoint(
        dirpath=folder,
        filename="{step}",
        monitor="loss",
        save_top_k=2,
        save_last="link",
        every_n_train_steps=2,
    )
    made = make_strategy(family, dp, tp, save_distributed_checkpoint=sharded, save_in_background=background)
    torch.manual_seed(3)
    model = LanguageModel(family, **given)
    pl.seed_everything(3)
    torch.manual_seed(3)
    if not given.get("meta"):
        model.model = build_model(family, given.get("tied", False))
    run = make_trainer(
        made,
        dp * tp,
        max_steps=STEPS,
        use_distributed_sampler=False,
        callbacks=[keep],
        enable_checkpointing=True,
    )
    run.fit(model)
    losses, _ = uninterrupted_run(family, given.get("kind", "adamw"), given.get("tied", False))
    return {
        "losses": max_loss_difference(model.losses, losses[:STEPS]),
        "kept": sorted(os.listdir(folder)),
        "link": os.path.islink(os.path.join(folder, "last.ckpt")),
        "path": made.broadcast(os.path.join(folder, f"step={STEPS}.ckpt")),
    }


def resume_checkpoint(family: str, dp: int, tp: int, path: str, **given: Any) -> Report:
    """Five more steps from a checkpoint, with other weights to begin with."""
    torch.manual_seed(99)
    model = LanguageModel(family, **given)
    made = make_strategy(family, dp, tp)
    run = make_trainer(made, dp * tp, max_steps=STEPS + MORE_STEPS, use_distributed_sampler=False)
    run.fit(model, ckpt_path=path)
    losses, _ = uninterrupted_run(family, given.get("kind", "adamw"), given.get("tied", False))
    return {"losses": max_loss_difference(model.losses, losses[STEPS:]), "steps": len(model.losses)}


def both_formats(folder: str) -> Report:
    """The same model as a file and as a folder; what is said where another mesh loads them."""
    messages: list[str] = []
    for sharded, name in ((False, "file.ckpt"), (True, "folder.ckpt")):
        model = seeded_model(Model)
        made = make_trainer(split_strategy(save_distributed_checkpoint=sharded), 4, max_steps=2)
        made.fit(model)
        made.save_checkpoint(os.path.join(folder, name))
    other = ModelParallelStrategy(data_parallel_size=4, tensor_parallel_size=1, plan=body_plan("body."))
    with mock.patch("planc.lightning.checkpoint_io.rank_zero_info", rank_zero_only(messages.append)):
        make_trainer(other, 4, max_steps=2).fit(Model(), ckpt_path=os.path.join(folder, "folder.ckpt"))
    return {
        "message": messages,
        "sums": {name: full_tensor(p).sum().item() for name, p in model.named_parameters()},
    }
