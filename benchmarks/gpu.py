"""The speed of training with planc, with torch's parallel styles by hand, and with Lightning's own strategy.

    torchrun --nproc-per-node 2 benchmarks/gpu.py
    torchrun --nproc-per-node 2 benchmarks/gpu.py --only tp --eager --rounds 5
    torchrun --nproc-per-node 2 benchmarks/gpu.py --layers 32 --recompute --apart
    torchrun --nproc-per-node 2 benchmarks/gpu.py --only tp --eager --rows 4,16 --rivals planc,overlap
    torchrun --nproc-per-node 2 benchmarks/gpu.py --small          # without GPUs: a smoke test

All rivals have the same weights, data and optimizer, run in one process group, and take turns. Rows are
printed as soon as they are known. The exit status is 1 if losses do not agree, or a rival raised.
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
from rivals.contest import Batch, Build, measure_interleaved, measure_isolated
from rivals.measure import warm_up_libraries
from rivals.profile_step import profiler
from rivals.setting import SMALL, Model, Setting, batches, mesh_shapes
from rivals.table import HEAD, FailedRow, Row, make_rows, rows_as_dicts

RIVALS = {
    "planc": "rivals.with_planc", "torch": "rivals.with_torch", "lightning": "rivals.with_lightning",
    "overlap": "rivals.with_planc_overlap",
}  # fmt: skip
OPT_IN = ("overlap",)
"""Rivals that take part only if they are named."""


def main() -> None:
    arguments = parse_arguments()
    device = init_ranks()
    table: list[Row | FailedRow] = []
    print_once(f"{dist.get_world_size()} x {_device_name(device)}, {versions()}")
    print_once("ratio: the rival's time divided by that of the first; above 1, planc is faster\n\n" + HEAD)
    for setting in settings(arguments, device):
        for each in contest(setting, arguments):
            table += each
            print_once("\n".join(row.line() for row in each))
            if arguments.json and dist.get_rank() == 0:
                text = json.dumps({"versions": versions(), "rows": rows_as_dicts(table)}, indent=1)
                Path(arguments.json).write_text(text, encoding="utf-8")
    wrong = [row for row in table if isinstance(row, Row) and not row.agrees]
    failed = [row for row in table if isinstance(row, FailedRow)]
    print_once(
        "\nthe losses of all rivals agree" if not wrong else f"\nlosses do NOT agree in {len(wrong)} rows"
    )
    print_once("\n\n".join(dict.fromkeys(row.raised for row in failed)))
    dist.destroy_process_group()
    raise SystemExit(bool(wrong or failed))


def contest(setting: Setting, arguments: argparse.Namespace) -> Iterator[list[Row | FailedRow]]:
    """Measure all rivals at one setting. Yields the rows for each size of batch."""
    data_rank = dist.get_rank() // setting.tp
    sizes = [Batch(size * setting.model.length, batches(setting, size, data_rank)) for size in arguments.rows]
    after = profiler(setting, Path(arguments.profile)) if arguments.profile else None
    measure = measure_isolated if arguments.apart else measure_interleaved
    results = measure(rivals(arguments.rivals), setting, sizes, arguments.rounds, arguments.steps, after)
    for batch, outcomes in zip(sizes, results, strict=True):
        yield make_rows(setting, batch.tokens, outcomes)


def settings(arguments: argparse.Namespace, device: torch.device) -> list[Setting]:
    """The settings that the arguments select, for all shapes of the mesh."""
    model = SMALL if arguments.small else Model()
    model = replace(model, layers=arguments.layers or model.layers)
    modes = [arguments.compiled] if arguments.compiled is not None else [False, True]
    every = [
        Setting(model, dp, tp, compiled, arguments.recompute, device)
        for dp, tp in mesh_shapes(dist.get_world_size())
        for compiled in modes
    ]
    return [setting for setting in every if not arguments.only or setting.kind in arguments.only]


def rivals(names: Sequence[str]) -> dict[str, Build]:
    """The rivals of these names, planc first. Their modules are imported when they are built."""
    return {
        name: lambda setting, own=module: importlib.import_module(own).build(setting)  # type: ignore[misc]
        for name, module in RIVALS.items()
        if name in names
    }


def init_ranks() -> torch.device:
    """Initialize the process group. Returns this rank's device. `torch.compile` makes no dynamic shapes: it
    compiles each size of batch separately, for every rival."""
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
    warm_up_libraries(device)
    return device


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def versions() -> str:
    """The versions of Python and of the libraries."""
    from importlib.metadata import PackageNotFoundError, version

    names = [f"Python {platform.python_version()}"]
    for name in ("torch", "transformers", "lightning"):
        try:
            names.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            names.append(f"no {name}")
    return ", ".join(names)


def print_once(text: str) -> None:
    """Print on rank 0."""
    if dist.get_rank() == 0:
        print(text, flush=True)


def parse_arguments() -> argparse.Namespace:
    known = [
        n for n in RIVALS if n not in OPT_IN and (n != "lightning" or importlib.util.find_spec("lightning"))
    ]
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="a tiny model, for a smoke test without GPUs")
    parser.add_argument("--layers", type=int, help="layers of the model (8; Llama 3 8B has 32)")
    parser.add_argument("--rows", type=_numbers, default=[1, 4], help="texts of 2,048 tokens per step (1,4)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of each rival (2)")
    parser.add_argument("--steps", type=int, default=5, help="steps per round (5)")
    parser.add_argument("--only", type=_names, default=[], help="of tp, fsdp, both, one")
    parser.add_argument("--rivals", type=_names, default=known, help=f"of {','.join(RIVALS)}")
    parser.add_argument("--compiled", action=argparse.BooleanOptionalAction, help="compiled alone")
    parser.add_argument("--eager", action="store_false", dest="compiled", help="eager alone", default=None)
    parser.add_argument("--recompute", action="store_true", help="recompute layers in the backward pass")
    parser.add_argument("--apart", action="store_true", help="keep one rival in memory at a time")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument(
        "--profile", metavar="FOLDER", help="also write tables and traces of one step of each rival"
    )
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _names(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    main()
