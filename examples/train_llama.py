"""Train a Llama on bytes: the source text of Python's standard library.

    python examples/train_llama.py                              # 2 x 2 processes
    python examples/train_llama.py --dp 4 --tp 1 --resume CHECKPOINT
    torchrun --nproc-per-node 8 examples/train_llama.py --dp 2 --tp 4 --plan llama --width 4096

The processes use GPUs where there are any, else the CPU. Only the strategy is given a plan: the model comes from
transformers, and Lightning trains it as usual.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Subset
from transformers import LlamaConfig, LlamaForCausalLM

from planc.lightning import ModelParallelStrategy

HERE = Path(__file__).parent
LENGTH, BATCH = 128, 8
"""Bytes per text, and texts per step over all data ranks."""


class Llama(pl.LightningModule):
    """A Llama whose tokens are bytes."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.config = LlamaConfig(
            vocab_size=256, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=depth,
            num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=LENGTH,
        )  # fmt: skip
        self.model: LlamaForCausalLM | None = None

    def configure_model(self) -> None:
        """Make the model on the meta device: each rank allocates only its own part of it."""
        if self.model is None:
            with torch.device("meta"):
                self.model = LlamaForCausalLM(self.config)

    def training_step(self, ids: Tensor, index: int) -> Tensor:
        """The loss of a batch of texts, (batch, LENGTH + 1) bytes."""
        assert self.model is not None
        logits = self.model(ids[:, :-1]).logits
        loss = cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        self.log("loss", loss, prog_bar=True, sync_dist=True)
        return loss

    def train_dataloader(self) -> DataLoader[Tensor]:
        """The texts after the last step of an earlier run, divided among the data ranks."""
        texts = Library()
        order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0)).tolist()
        remaining = Subset(texts, order[self.global_step * BATCH :])
        ranks = self.trainer.distributed_sampler_kwargs
        sampler = DistributedSampler(remaining, shuffle=False, **ranks)
        return DataLoader(remaining, BATCH // ranks["num_replicas"], sampler=sampler)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over this rank's shards of the parameters."""
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


class Library(Dataset[Tensor]):
    """Texts of LENGTH + 1 bytes from the standard library's sources, which do not overlap."""

    def __init__(self) -> None:
        files = sorted(Path(os.__file__).parent.glob("*.py"))
        data = bytearray(b"\n".join(file.read_bytes() for file in files))
        self.bytes = torch.frombuffer(data, dtype=torch.uint8)

    def __len__(self) -> int:
        return len(self.bytes) // (LENGTH + 1)

    def __getitem__(self, index: int) -> Tensor:
        return self.bytes[index * (LENGTH + 1) :][: LENGTH + 1].long()


class Losses(Callback):
    """Prints the mean loss of all ranks, step by step."""

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """After each step."""
        if trainer.is_global_zero:
            print(f"step {trainer.global_step:3}  loss {trainer.callback_metrics['loss']:.6f}", flush=True)


def main() -> None:
    arguments = parse_arguments()
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    pl.seed_everything(0)
    strategy = ModelParallelStrategy(
        data_parallel_size=arguments.dp,
        tensor_parallel_size=arguments.tp,
        plan=arguments.plan,
        plan_target="model",
    )
    trainer = pl.Trainer(
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=int(os.environ.get("LOCAL_WORLD_SIZE", arguments.dp * arguments.tp)),
        num_nodes=int(os.environ.get("GROUP_WORLD_SIZE", "1")),
        strategy=strategy,
        precision=arguments.precision,
        max_steps=arguments.steps,
        gradient_clip_val=1.0,
        callbacks=[Losses() if arguments.print else TQDMProgressBar(refresh_rate=1)],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(Llama(arguments.width, arguments.depth), ckpt_path=arguments.resume, weights_only=False)
    if arguments.save:
        trainer.save_checkpoint(arguments.save)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dp", type=int, default=2)
    parser.add_argument("--tp", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--plan", default=str(HERE / "train_llama.plan"))
    parser.add_argument(
        "--precision", default="32-true", help="Lightning's precision; the plan may have its own"
    )
    parser.add_argument("--save", help="where to write a checkpoint at the end")
    parser.add_argument("--resume", help="a checkpoint to continue from, of any mesh")
    parser.add_argument("--print", action="store_true", help="print losses instead of a progress bar")
    return parser.parse_args()


if __name__ == "__main__":
    main()
