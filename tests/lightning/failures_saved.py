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
from tests.lightning.conform_models import Model, apart, full, seeded, trainer
from tests.lightning.conform_models import plan as body_plan
from tests.lightning.failures import split

Found = dict[str, Any]
STEPS, MORE, GLOBAL, LENGTH, WORDS = 4, 5, 4, 8, 32
"""Steps before the checkpoint and after it."""
SAMPLES = 2 * GLOBAL * (STEPS + MORE)
"""More than an epoch needs that is resumed: Lightning counts the steps before, too."""


def _ids() -> Tensor:
    return torch.randint(0, WORDS, (SAMPLES, LENGTH + 1), generator=torch.Generator().manual_seed(2))


def built(family: str, tied: bool = False) -> torch.nn.Module:
    """A small model; that of phi3 has fused projections."""
    sizes: Found = {
        "vocab_size": WORDS, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 16,
        "pad_token_id": 0, "tie_word_embeddings": tied,
    }  # fmt: skip
    if family == "phi3":
        return Phi3ForCausalLM(Phi3Config(**sizes))
    return LlamaForCausalLM(LlamaConfig(**sizes))


class Language(pl.LightningModule):
    """A language model on random words."""

    def __init__(self, family: str, meta: bool = False, kind: str = "adamw", tied: bool = False) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.losses: list[float] = []
        self.model: Any = None if meta else built(family, tied)

    def configure_model(self) -> None:
        if self.model is None:
            with torch.device("meta"):
                self.model = built(self.hparams["family"], self.hparams["tied"])

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


def uninterrupted(family: str, kind: str = "adamw", tied: bool = False) -> tuple[list[float], Any]:
    """All steps in plain torch."""
    torch.manual_seed(3)
    model: Any = built(family, tied)
    if kind == "sgd":
        optimizer: Any = torch.optim.SGD(model.parameters(), lr=0.1)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, eps=1e-4)
    losses = []
    for step in range(STEPS + MORE):
        ids = _ids()[step * GLOBAL : (step + 1) * GLOBAL]
        loss = cross_entropy(model(ids[:, :-1]).logits.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, model


def strategy(family: str, dp: int, tp: int, **given: Any) -> ModelParallelStrategy:
    plan = plan_of(family)
    return ModelParallelStrategy(
        data_parallel_size=dp, tensor_parallel_size=tp, plan=plan, plan_target="model", **given
    )


def plan_of(family: str) -> Any:
    """The shipped plan of a family, in float32, and not compiled."""

    text = f"plan small\nextends {family}\nfsdp dp {{\n    override params: fp32\n}}\ncompile {{\n    remove model.layers.*\n}}\n"
    return planc.parse(text)


def saves(family: str, dp: int, tp: int, folder: str, sharded: bool, background: bool, **given: Any) -> Found:
    """Train, and let ModelCheckpoint keep the best two, the last as a link, and every second step."""
    keep = ModelCheckpoint(
        dirpath=folder,
        filename="{step}",
        monitor="loss",
        save_top_k=2,
        save_last="link",
        every_n_train_steps=2,
    )
    made = strategy(family, dp, tp, save_distributed_checkpoint=sharded, save_in_background=background)
    torch.manual_seed(3)
    model = Language(family, **given)
    pl.seed_everything(3)
    torch.manual_seed(3)
    if not given.get("meta"):
        model.model = built(family, given.get("tied", False))
    run = trainer(
        made,
        dp * tp,
        max_steps=STEPS,
        use_distributed_sampler=False,
        callbacks=[keep],
        enable_checkpointing=True,
    )
    run.fit(model)
    losses, _ = uninterrupted(family, given.get("kind", "adamw"), given.get("tied", False))
    return {
        "losses": apart(model.losses, losses[:STEPS]),
        "kept": sorted(os.listdir(folder)),
        "link": os.path.islink(os.path.join(folder, "last.ckpt")),
        "path": made.broadcast(os.path.join(folder, f"step={STEPS}.ckpt")),
    }


def resumes(family: str, dp: int, tp: int, path: str, **given: Any) -> Found:
    """Five more steps from a checkpoint, with other weights to begin with."""
    torch.manual_seed(99)
    model = Language(family, **given)
    made = strategy(family, dp, tp)
    run = trainer(made, dp * tp, max_steps=STEPS + MORE, use_distributed_sampler=False)
    run.fit(model, ckpt_path=path)
    losses, _ = uninterrupted(family, given.get("kind", "adamw"), given.get("tied", False))
    return {"losses": apart(model.losses, losses[STEPS:]), "steps": len(model.losses)}


def two_forms(folder: str) -> Found:
    """The same model as a file and as a folder; what is said where another mesh loads them."""
    told: list[str] = []
    for sharded, name in ((False, "file.ckpt"), (True, "folder.ckpt")):
        model = seeded(Model)
        made = trainer(split(save_distributed_checkpoint=sharded), 4, max_steps=2)
        made.fit(model)
        made.save_checkpoint(os.path.join(folder, name))
    other = ModelParallelStrategy(data_parallel_size=4, tensor_parallel_size=1, plan=body_plan("body."))
    with mock.patch("planc.lightning.saving.rank_zero_info", rank_zero_only(told.append)):
        trainer(other, 4, max_steps=2).fit(Model(), ckpt_path=os.path.join(folder, "folder.ckpt"))
    return {"said": told, "sums": {name: full(p).sum().item() for name, p in model.named_parameters()}}
