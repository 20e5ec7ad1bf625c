"""The CPU time to apply a plan, and of hooks in a training step, compared with torch's parallel styles.

    python benchmarks/apply.py

Both split a Llama in the same way over 8 ranks, of which this process is one: torch's fake process group
sends nothing. They take turns, and processor time is compared, since other work may use the cores.
"""

from __future__ import annotations

import gc
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
import torch.distributed as dist
from rivals import with_torch
from rivals.setting import Model, Setting, unsplit_model
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor.parallel import loss_parallel
from torch.nn.functional import cross_entropy
from torch.testing._internal.distributed.fake_pg import FakeStore

import planc
from planc.api import to_document
from planc.graph.graph_reader import read_graph_file
from planc.paths import shipped_path
from planc.prepare_plan import PreparedPlan, prepare_plan
from planc.torch.apply.apply_lowered import apply_lowered

RANKS = 8
LARGE = Model(126, 16384, 53248, 128, 8, 128256, 131072)
"""Llama 3.1 405B."""
TINY = Model(8, 64, 128, RANKS, RANKS, 64, 16)
MODULES = 11 * TINY.layers + 4
"""The modules that the styles name: norms, attention, MLP and linear modules of each layer, and four more."""
PLAN = """\
plan styles
extends llama
recompute { remove block }
compile { remove block }
"""

Times = dict[str, list[float]]


def main() -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=RANKS)
    mesh = init_device_mesh("cpu", (1, RANKS), mesh_dim_names=("dp", "tp"))
    print(f"\ntorch {torch.__version__}, {RANKS} ranks of a fake process group, processor time")
    measure_applying(mesh)
    measure_steps(mesh)
    dist.destroy_process_group()


def measure_applying(mesh: DeviceMesh, rounds: int = 3) -> None:
    """Split 405B on the meta device: applying alone, with the proof, and with the capture."""
    plan, times = planc.parse(PLAN), Times()
    name = shipped_path("plans", "llama-3-405b.graph.json.gz")
    for _ in range(rounds + 1):  # the first round loads modules
        model = _large()
        _take(times, "torch's parallelize_module", lambda m=model: _by_hand(m, LARGE, mesh))  # type: ignore[misc]
        model = _large()
        prepared = _prepared(model, name)
        _take(times, "planc: apply", lambda m=model, p=prepared: apply_lowered(m, p.lowered, mesh))  # type: ignore[misc]
        model = _large()
        _take(
            times,
            "planc: prove, apply",
            lambda m=model: planc.parallelize(m, plan, mesh, graph=name, sync=None),
        )  # type: ignore[misc]
        model = _large()
        _take(
            times, "planc: capture, prove, apply", lambda m=model: planc.parallelize(m, plan, mesh, sync=None)
        )  # type: ignore[misc]
    print(f"\nLlama 3.1 405B on meta, {LARGE.layers} layers")
    _show(times, "torch's parallelize_module", 1e3, "ms")
    print(f"{'':<40} wanted: at most 1.00 without the capture")


def measure_steps(mesh: DeviceMesh, rounds: int = 15, each: int = 3) -> None:
    """Forward and backward of a Llama so small that hooks dominate, minus the time of the unsplit model."""
    unsplit, planc_model, torch_model = (unsplit_model(_setting(TINY)) for _ in range(3))
    planc.parallelize(planc_model, planc.parse(PLAN), mesh, sync=None)
    _by_hand(torch_model, TINY, mesh)
    models: Mapping[str, Callable[[], None]] = {
        "unsplit": lambda: _step(unsplit, nullcontext()),
        "torch's styles": lambda: _step(torch_model, loss_parallel()),
        "planc": lambda: _step(planc_model, nullcontext()),
    }
    times = Times()
    for _ in range(rounds + 1):
        for name, step in models.items():
            _take(times, name, lambda step=step: [step() for _ in range(each)])  # type: ignore[misc]
    base = times.pop("unsplit")
    overhead = {
        name: [(a - b) / each / MODULES for a, b in zip(taken, base, strict=True)]
        for name, taken in times.items()
    }
    print(f"\nA step, {TINY.layers} layers: overhead per module")
    _show(overhead, "torch's styles", 1e6, "us")
    print(f"{'':<40} wanted: at most 1.00\n")


def _step(model: nn.Module, context: AbstractContextManager[object]) -> None:
    ids = torch.zeros(1, TINY.length, dtype=torch.int64)
    with context:
        logits = model(ids, use_cache=False).logits
        cross_entropy(logits.flatten(0, 1), ids.flatten()).backward()  # type: ignore[no-untyped-call]
    model.zero_grad()


def _setting(model: Model) -> Setting:
    return Setting(model, 1, RANKS, compiled=False, recomputed=False, device=torch.device("cpu"))


def _large() -> nn.Module:
    return unsplit_model(replace(_setting(LARGE), device=torch.device("meta")))


def _by_hand(model: nn.Module, sizes: Model, mesh: DeviceMesh) -> None:
    with_torch.split_by_hand(model, _setting(sizes), mesh["dp"], mesh["tp"])


def _prepared(model: nn.Module, graph: str) -> PreparedPlan:
    sizes = {"dp": 1, "tp": RANKS}
    return prepare_plan(
        model, to_document(planc.parse(PLAN)), sizes, graph=read_graph_file(graph), inputs=None, options={}
    )


def _take(times: Times, name: str, work: Callable[[], object]) -> None:
    """Measure the processor seconds of some work, with the garbage collector off."""
    gc.collect()
    gc.disable()
    try:
        start = time.process_time()
        work()
        times.setdefault(name, []).append(time.process_time() - start)
    finally:
        gc.enable()


def _show(times: Times, rival: str, factor: float, unit: str) -> None:
    """Print medians, and medians of the ratios to a rival in each round; the first round does not count."""
    for name, taken in times.items():
        ratio = statistics.median(a / b for a, b in zip(taken[1:], times[rival][1:], strict=True))
        print(f"{name:<40} {statistics.median(taken[1:]) * factor:7.0f} {unit}   ratio {ratio:5.2f}")


if __name__ == "__main__":
    main()
