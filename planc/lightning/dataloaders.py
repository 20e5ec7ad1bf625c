"""The batches of the ranks: the ranks of a tensor group get the same one, each group gets its own."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from lightning.fabric.utilities.seed import pl_worker_init_function
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch.distributed.device_mesh import DeviceMesh

from planc.lightning.all_ranks import run_on_all_ranks
from planc.prepare_plan import NotApplicable
from planc.torch.train.batch_consistency import BatchConsistency


def seed_workers(dataloader: Any, mesh: DeviceMesh) -> None:
    """Have `seed_everything(workers=True)` seed the workers of a loader by the data rank. Lightning seeds them by
    the global rank: the ranks of a tensor group would see different augmentations of one sample.

    Args:
        dataloader: any loader; one without `worker_init_fn`, or with the user's own, stays as it is.
        mesh: Lightning's mesh, with an axis `data_parallel`.
    """
    if not hasattr(dataloader, "worker_init_fn"):
        return
    current = dataloader.worker_init_fn
    # Fabric has set its function before this call; the Trainer sets one after it, where there is none.
    is_lightnings = isinstance(current, partial) and current.func is pl_worker_init_function
    if is_lightnings or (current is None and int(os.environ.get("PL_SEED_WORKERS", "0"))):
        rank = mesh["data_parallel"].get_local_rank()
        dataloader.worker_init_fn = partial(pl_worker_init_function, rank=rank)


def check_first_batch(batches: BatchConsistency, batch: Any) -> None:
    """Compare the first batch of all ranks, and warn where two data ranks have the same one.

    Raises:
        PlanAbort: the ranks of a tensor group have different batches: their gradients would be wrong.
    """
    report = batches.check(batch)
    if report.warning:
        rank_zero_warn(f"planc: {report.warning}")
    run_on_all_ranks(lambda: _raise_not_applicable(report.error), "no step was made")


def _raise_not_applicable(error: str | None) -> None:
    if error:
        raise NotApplicable((), (error,))
