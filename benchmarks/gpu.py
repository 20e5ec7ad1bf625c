"""Speed of training: planc, torch's own parallel styles by hand, and Lightning's stock strategy.

    torchrun --nproc-per-node 2 benchmarks/gpu.py
    torchrun --nproc-per-node 2 benchmarks/gpu.py --only tp --eager --rounds 5
    torchrun --nproc-per-node 2 benchmarks/gpu.py --layers 32 --recompute --apart
    torchrun --nproc-per-node 2 benchmarks/gpu.py --only tp --eager --rows 4,16 --rivals planc,overlap
    torchrun --nproc-per-node 2 benchmarks/gpu.py --small          # without GPUs: whether it runs

All rivals have the same weights, data and optimizer, live in one group of processes, and take
turns. Lines come as they are found. The program ends with 1 where losses do not agree, or one raised.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from rivals.contest import Batch, Build, apart, together
from rivals.measure import warm
from rivals.profiled import profiler
from rivals.setting import SMALL, Model, Setting, batches, ways
from rivals.table import HEAD, Lost, Row, data, rows

RIVALS = {
    "planc": "rivals.planned", "torch": "rivals.handwritten", "lightning": "rivals.stock",
    "overlap": "rivals.overlapped",
}  # fmt: skip
ASKED = ("overlap",)
"""Those that take part only where they are named."""


def main() -> None:
    arguments = parsed()
    device = begun()
    found: list[Row | Lost] = []
    say(f"{dist.get_world_size()} x {_device_name(device)}, {versions()}")
    say("ratio: the rival's time by that of the first, so above 1 planc is faster\n\n" + HEAD)
    for setting in settings(arguments, device):
        for each in contest(setting, arguments):
            found += each
            say("\n".join(row.line() for row in each))
            if arguments.json and dist.get_rank() == 0:
                text = json.dumps({"versions": versions(), "rows": data(found)}, indent=1)
                Path(arguments.json).write_text(text, encoding="utf-8")
    wrong = [row for row in found if isinstance(row, Row) and not row.agrees]
    lost = [row for row in found if isinstance(row, Lost)]
    say("\nlosses agree in all of them" if not wrong else f"\nlosses do NOT agree in {len(wrong)} lines")
    say("\n\n".join(dict.fromkeys(row.raised for row in lost)))
    dist.destroy_process_group()
    raise SystemExit(bool(wrong or lost))


def contest(setting: Setting, arguments: argparse.Namespace) -> Iterator[list[Row | Lost]]:
    """The rows of all rivals at one setting, for batches of each size."""
    data_rank = dist.get_rank() // setting.tp
    sizes = [Batch(size * setting.model.length, batches(setting, size, data_rank)) for size in arguments.rows]
    look = profiler(setting, Path(arguments.profile)) if arguments.profile else None
    hold = apart if arguments.apart else together
    results = hold(rivals(arguments.rivals), setting, sizes, arguments.rounds, arguments.steps, look)
    for batch, outcomes in zip(sizes, results, strict=True):
        yield rows(setting, batch.tokens, outcomes)


def settings(arguments: argparse.Namespace, device: torch.device) -> list[Setting]:
    """What is asked for, of what so many ranks allow."""
    model = SMALL if arguments.small else Model()
    model = replace(model, layers=arguments.layers or model.layers)
    modes = [arguments.compiled] if arguments.compiled is not None else [False, True]
    every = [
        Setting(model, dp, tp, compiled, arguments.recompute, device)
        for dp, tp in ways(dist.get_world_size())
        for compiled in modes
    ]
    return [setting for setting in every if not arguments.only or setting.kind in arguments.only]


def rivals(names: Sequence[str]) -> dict[str, Build]:
    """Those that take part, planc first. What they need is imported when they are built."""
    return {
        name: lambda setting, own=module: importlib.import_module(own).build(setting)  # type: ignore[misc]
        for name, module in RIVALS.items()
        if name in names
    }


def begun() -> torch.device:
    """The process group, and this rank's device. Sizes of batches are never made symbols: each is
    compiled for itself, by every rival."""
    torch._dynamo.config.automatic_dynamic_shapes = False
    torch._dynamo.config.recompile_limit = 64
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", device_id=device)
    else:
        device = torch.device("cpu")
        torch.set_num_threads(1)
        dist.init_process_group("gloo")
    warm(device)
    return device


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def versions() -> str:
    """The versions that a table has to name."""
    from importlib.metadata import PackageNotFoundError, version

    found = [f"Python {platform.python_version()}"]
    for name in ("torch", "transformers", "lightning"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return ", ".join(found)


def say(text: str) -> None:
    """Print on one rank."""
    if dist.get_rank() == 0:
        print(text, flush=True)


def parsed() -> argparse.Namespace:
    known = [
        n for n in RIVALS if n not in ASKED and (n != "lightning" or importlib.util.find_spec("lightning"))
    ]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="a tiny model, for a try without GPUs")
    parser.add_argument("--layers", type=int, help="layers of the model (8; 32 are all of Llama 3 8B)")
    parser.add_argument("--rows", type=_numbers, default=[1, 4], help="texts of 2,048 tokens a step (1,4)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of each (2)")
    parser.add_argument("--steps", type=int, default=5, help="steps of a round (5)")
    parser.add_argument("--only", type=_names, default=[], help="of tp, fsdp, both, one")
    parser.add_argument("--rivals", type=_names, default=known, help=f"of {','.join(RIVALS)}")
    parser.add_argument("--compiled", action=argparse.BooleanOptionalAction, help="only so")
    parser.add_argument("--eager", action="store_false", dest="compiled", help="only so", default=None)
    parser.add_argument("--recompute", action="store_true", help="recompute blocks in the backward pass")
    parser.add_argument("--apart", action="store_true", help="keep one rival in memory at a time")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--profile", metavar="FOLDER", help="tables and traces of one step of each, too")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _names(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    main()
