"""What the strategies for Trainer and Fabric have in common: each is Lightning's own where it has no plan."""

from __future__ import annotations

import atexit
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from planc.lightning import compat
from planc.lightning.dataloaders import seed_workers
from planc.lightning.plan_arguments import PlanArguments
from planc.lightning.plan_mesh import WorldSizes
from planc.lightning.plan_session import PlanSession
from planc.torch.checkpoints.saver import CheckpointSaver


class PlanStrategy:
    """Stands before one of Lightning's strategies in the order of its bases, so that `super()` is Lightning's.

    `LightningCLI` reads arguments from the signature and the docstring of a class, so each strategy has
    an `__init__` of its own, and calls `_init_plan`.
    """

    _session: PlanSession | None
    """None: there is no plan, and all is as in Lightning."""
    _saver: CheckpointSaver
    _save_in_background: bool

    def _init_plan(self, arguments: PlanArguments | None, *, save_in_background: bool) -> None:
        self._session = None if arguments is None else PlanSession(arguments)
        self._saver, self._save_in_background = CheckpointSaver(), save_in_background

    def _setup_plan_mesh(self, session: PlanSession, module: nn.Module | None) -> None:
        """Read the plan and make its mesh, once the process group is initialized."""
        strategy: Any = self
        sizes = WorldSizes(strategy.world_size, strategy.num_processes, *compat.parallel_sizes(strategy))
        compat.set_device_mesh(strategy, session.setup_mesh(module, sizes, strategy.root_device))

    def _init_process_group(self) -> None:
        """Initialize the process group; it lives until the process ends."""
        compat.setup_distributed(self)
        atexit.register(_destroy_process_group)

    def process_dataloader(self, dataloader: Any) -> Any:
        if self._session is not None:
            seed_workers(dataloader, self._session.mesh)
        stock: Any = super()
        return stock.process_dataloader(dataloader)

    def reduce_boolean_decision(self, decision: bool, all: bool = True) -> bool:  # noqa: A002  # Lightning's name
        stock: Any = super()
        if self._session is None:
            return bool(stock.reduce_boolean_decision(decision, all))
        strategy: Any = self
        vote = torch.tensor(int(decision), device=strategy.root_device)
        votes = compat.reduce_tensor(vote, reduce_op="sum")
        return bool(votes == strategy.world_size) if all else bool(votes)

    def teardown(self) -> None:
        self._saver.wait()
        stock: Any = super()
        stock.teardown()


def _destroy_process_group() -> None:
    """Until the process ends the user may call and save a split model, which takes collectives."""
    if dist.is_initialized():
        dist.destroy_process_group()
