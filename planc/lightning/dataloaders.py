"""The data of the ranks: the same in a tensor group, different ones between groups."""

from __future__ import annotations

from functools import partial
from typing import Any

from lightning.fabric.utilities.data import _auto_add_worker_init_fn
from lightning.fabric.utilities.seed import pl_worker_init_function
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch.distributed.device_mesh import DeviceMesh

from planc.lightning.all_ranks import run_on_all_ranks
from planc.prepare_plan import NotApplicable
from planc.torch.train.batch_consistency import BatchConsistency


def seed_workers(dataloader: Any, mesh: DeviceMesh) -> None:
    """Let Lightning's seeds of workers follow the data rank. By the global rank, as they are, the
    ranks of a tensor group would see different augmentations of one sample."""
    rank = mesh["data_parallel"].get_local_rank()
    given = getattr(dataloader, "worker_init_fn", None)
    if isinstance(given, partial) and given.func is pl_worker_init_function:
        dataloader.worker_init_fn = partial(pl_worker_init_function, rank=rank)
    # Fabric has set it before, and the Trainer does after this, but only where there is none.
    _auto_add_worker_init_fn(dataloader, rank)


def check_first_batch(batches: BatchConsistency, batch: Any) -> None:
    """Look at a batch on all ranks, and warn where data ranks have the same.

    Raises:
        PlanStop: the ranks of a tensor group have different ones: their gradients would be wrong.
    """
    said = batches.check(batch)
    if said.warning:
        rank_zero_warn(f"planc: {said.warning}")
    run_on_all_ranks(lambda: _raise_not_applicable(said.error), "no step was made")


def _raise_not_applicable(error: str | None) -> None:
    if error:
        raise NotApplicable((), (error,))
