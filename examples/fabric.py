"""Train the decoder of model.py under model.plan with Lightning Fabric, save it, and load it.

    python examples/fabric.py                # 2 x 2 processes
    python examples/fabric.py --dp 1 --tp 4

This does what plain_pytorch.py does, with Fabric for processes, precision, data and checkpoints.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
from lightning.fabric import Fabric
from model import Decoder
from plain_pytorch import BATCH, LENGTH, batch, library_text
from torch.nn.functional import cross_entropy

from planc.lightning.fabric import ModelParallelStrategy

HERE = Path(__file__).parent


def main() -> None:
    arguments = parse_arguments()
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    strategy = ModelParallelStrategy(
        data_parallel_size=arguments.dp,
        tensor_parallel_size=arguments.tp,
        plan=HERE / "model.plan",
        plan_inputs=[f"ids=int64[{BATCH},{LENGTH}]"],
    )
    accelerator = "gpu" if torch.cuda.is_available() else "cpu"
    fabric = Fabric(accelerator=accelerator, devices=arguments.dp * arguments.tp, strategy=strategy)
    fabric.launch()
    fabric.seed_everything(0)
    model = Decoder(words=1024, length=LENGTH, width=64, heads=8, depth=4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    model, optimizer = fabric.setup(model, optimizer)

    text, rank = library_text(), strategy.device_mesh["data_parallel"].get_local_rank()
    for step in range(arguments.steps):
        ids = fabric.to_device(batch(text, step, rank, arguments.dp))
        logits = model(ids[:, :-1])
        loss = cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
        fabric.backward(loss)
        fabric.clip_gradients(model, optimizer, max_norm=1.0)
        optimizer.step()
        optimizer.zero_grad()
        mean = fabric.all_reduce(loss.detach(), reduce_op="mean")
        fabric.print(f"step {step:3}  loss {float(mean):.4f}", flush=True)

    folder = fabric.broadcast(tempfile.mkdtemp())
    fabric.save(f"{folder}/checkpoint", {"model": model, "optimizer": optimizer, "step": arguments.steps})
    state = {"model": model, "optimizer": optimizer, "step": 0}
    fabric.load(f"{folder}/checkpoint", state)
    fabric.print(f"saved and loaded after step {state['step']}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dp", type=int, default=2)
    parser.add_argument("--tp", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    return parser.parse_args()


if __name__ == "__main__":
    main()
