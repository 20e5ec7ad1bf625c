"""Train the decoder of model.py under model.plan, on the source text of Python's standard library.

    torchrun --nproc-per-node 4 examples/plain_pytorch.py --dp 2 --tp 2

The processes use GPUs where there are any, else the CPU. Neither the model nor this loop depends on how
the model is split: `planc.parallelize` proves the plan and applies it.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch
import torch.distributed as dist
from model import Decoder
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.functional import cross_entropy

import planc

HERE = Path(__file__).parent
LENGTH, BATCH = 256, 8
"""Bytes per text, and texts per step over all data ranks."""


def main() -> None:
    arguments = parse_arguments()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    else:
        torch.set_num_threads(1)
    mesh = init_device_mesh(device, (arguments.dp, arguments.tp), mesh_dim_names=("dp", "tp"))
    torch.manual_seed(0)  # all ranks start with the same weights
    model = Decoder(words=1024, length=LENGTH, width=arguments.width, heads=8, depth=arguments.depth).to(
        device
    )
    example = [torch.zeros(4, LENGTH, dtype=torch.long, device=device)]
    planc.parallelize(model, HERE / "model.plan", mesh, inputs=example)

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=device == "cuda")
    text = library_text()
    start = time.perf_counter()
    for step in range(arguments.steps):
        ids = batch(text, step, mesh["dp"].get_local_rank(), arguments.dp).to(device)
        logits = model(ids[:, :-1])
        loss = cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        dist.all_reduce(mean := loss.detach() / arguments.dp, group=mesh["dp"].get_group())
        if dist.get_rank() == 0:
            print(f"step {step:3}  loss {mean.item():.4f}", flush=True)
    if dist.get_rank() == 0:
        print(
            f"{arguments.steps} steps in {time.perf_counter() - start:.1f} s on {dist.get_world_size()} x {device}"
        )
    dist.destroy_process_group()


def batch(text: Tensor, step: int, rank: int, ranks: int) -> Tensor:
    """The texts of one data rank in one step: (BATCH / ranks, LENGTH + 1)."""
    generator = torch.Generator().manual_seed(step)
    starts = torch.randint(len(text) - LENGTH - 1, (BATCH,), generator=generator)
    own = starts[rank * (BATCH // ranks) : (rank + 1) * (BATCH // ranks)]
    return torch.stack([text[start : start + LENGTH + 1] for start in own.tolist()])


def library_text() -> Tensor:
    """Part of the standard library's sources: a number from 0 to 255 for each byte."""
    files = sorted(Path(os.__file__).parent.glob("*.py"))[:60]
    data = b"\n".join(file.read_bytes() for file in files)
    return torch.frombuffer(bytearray(data), dtype=torch.uint8).long()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dp", type=int, default=2)
    parser.add_argument("--tp", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--depth", type=int, default=4)
    return parser.parse_args()


if __name__ == "__main__":
    main()
