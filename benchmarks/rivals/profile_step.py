"""Profiles one step of each rival, and writes the results to a folder."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity

from rivals.contest import WARMUP_STEPS, AfterRounds, Batch
from rivals.measure import synchronize
from rivals.rival import Rival
from rivals.setting import Setting


def profiler(setting: Setting, folder: Path) -> AfterRounds:
    """A function that writes a trace of one step, and a table of its operations."""
    cuda = setting.device.type == "cuda"
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    by = ["self_device_time_total"] * cuda + ["self_cpu_time_total"]

    def profile(name: str, rival: Rival, batch: Batch) -> None:
        with torch.profiler.profile(activities=kinds) as session:
            rival.step(batch.data[WARMUP_STEPS % len(batch.data)])
            synchronize(setting.device)
        if dist.get_rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{setting.name}-{setting.mode}-{batch.tokens}-{name}".replace(" ", "")
            session.export_chrome_trace(f"{file}.json")
            averages = session.key_averages()
            tables = [averages.table(sort_by=key, row_limit=40, max_name_column_width=80) for key in by]
            Path(f"{file}.txt").write_text("\n".join(tables), encoding="utf-8")

    return profile
