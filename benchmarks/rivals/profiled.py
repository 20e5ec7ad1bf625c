"""Where a step's time goes: what the profiler saw of each rival, in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity

from rivals.contest import WARM, Batch, Build, freed
from rivals.measure import run, wait
from rivals.setting import Setting


def profile(builds: Mapping[str, Build], setting: Setting, batches: Sequence[Batch], folder: Path) -> None:
    """Write a trace of one step and a table of its operations for each rival and size of batch."""
    cuda = setting.device.type == "cuda"
    kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    folder.mkdir(parents=True, exist_ok=True)
    for name, build in builds.items():
        rival = build(setting)
        for batch in batches:
            run(rival, batch.data, range(WARM), setting.device)
            with torch.profiler.profile(activities=kinds) as seen:
                rival.step(batch.data[WARM % len(batch.data)])
                wait(setting.device)
            if dist.get_rank() == 0:
                file = folder / f"{setting.name}-{setting.mode}-{batch.tokens}-{name}".replace(" ", "")
                seen.export_chrome_trace(f"{file}.json")
                by = "self_device_time_total" if cuda else "self_cpu_time_total"
                table = seen.key_averages().table(sort_by=by, row_limit=60, max_name_column_width=80)
                Path(f"{file}.txt").write_text(table, encoding="utf-8")
        del rival
        freed(setting.device)
