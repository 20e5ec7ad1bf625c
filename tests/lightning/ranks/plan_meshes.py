"""The mesh of a plan: over a launcher's processes, and with the user's sizes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch.distributed as dist

import planc
from planc.lightning import ModelParallelStrategy, PlanAbort
from tests.lightning.ranks.models import (
    Model,
    body_plan,
    make_strategy,
    make_trainer,
    seeded_model,
)
from tests.lightning.ranks.plan_runs import captured_stderr, training_result

Report = dict[str, Any]


@contextlib.contextmanager
def launcher_environment(**given: str) -> Iterator[None]:
    """The environment of another launcher."""
    torchrun = ("TORCHELASTIC_RUN_ID", "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK")
    kept = {name: value for name, value in os.environ.items() if name not in torchrun}
    with mock.patch.dict(os.environ, kept | given, clear=True):
        yield


def launcher(by: str) -> Report:
    """Four processes on two nodes: each size that is left open is Lightning's."""
    rank, count = dist.get_rank(), dist.get_world_size()
    node, local = divmod(rank, 2)
    given = {
        "torchrun": {
            "TORCHELASTIC_RUN_ID": "one", "RANK": str(rank), "LOCAL_RANK": str(local), "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": str(node),
        },
        "slurm": {
            "SLURM_NTASKS": str(count), "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(local),
            "SLURM_NODEID": str(node), "SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "train",
            "SLURM_NNODES": "2", "SLURM_NODELIST": "localhost",
        },
    }[by]  # fmt: skip
    with launcher_environment(**given):
        model = seeded_model(Model)
        made = make_trainer(make_strategy(True), 2, num_nodes=2, max_steps=2)
        made.fit(model)
        environment = type(made.strategy.cluster_environment).__name__
        return training_result(model, made, 2) | {
            "environment": environment,
            "rank": made.global_rank == rank,
        }


def plan_mesh(text: str, fsdp: str, sizes: Report) -> Report:
    """A plan with a mesh of its own. What is said where it does not fit, else how it trains."""
    model = seeded_model(Model)
    chosen = body_plan("body.", text, fsdp)
    if "tp" not in text:
        chosen = planc.parse(planc.to_text(chosen).partition("tensor tp")[0] + f"fsdp {fsdp} {{ root }}\n")
    made = make_trainer(ModelParallelStrategy(plan=chosen, **sizes), dist.get_world_size(), max_steps=4)
    with captured_stderr() as message:
        try:
            made.fit(model)
        except PlanAbort as stop:
            return {"reasons": stop.reasons, "message": message.getvalue()}
    return training_result(model, made, 4) | {"sampler": made.distributed_sampler_kwargs}
