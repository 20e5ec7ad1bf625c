"""Where a step's time goes: what the profiler saw of each rival, in a folder."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity

from rivals.contest import WARM, Batch, Look
from rivals.measure import wait
from rivals.rival import Rival
from rivals.setting import Setting


def profiler(setting: Setting, folder: Path) -> Look:
    """What writes a trace of one step, and a table of its operations."""
    cuda = setting.device.type == "cuda"
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    by = ["self_device_time_total"] * cuda + ["self_cpu_time_total"]

    def look(name: str, rival: Rival, batch: Batch) -> None:
        with torch.profiler.profile(activities=kinds) as seen:
            rival.step(batch.data[WARM % len(batch.data)])
            wait(setting.device)
        if dist.get_rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{setting.name}-{setting.mode}-{batch.tokens}-{name}".replace(" ", "")
            seen.export_chrome_trace(f"{file}.json")
            known = seen.key_averages()
            tables = [known.table(sort_by=key, row_limit=40, max_name_column_width=80) for key in by]
            Path(f"{file}.txt").write_text("\n".join(tables), encoding="utf-8")

    return look
