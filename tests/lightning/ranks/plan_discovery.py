"""Where a Trainer finds its plan: at the model, next to its file, on the command line."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import torch.distributed as dist
import yaml
from lightning.pytorch.cli import LightningCLI
from torch.distributed.tensor import DTensor

import planc
from planc.lightning import PlanAbort
from tests.lightning.ranks import models
from tests.lightning.ranks.models import (
    Model,
    body_plan,
    make_trainer,
    seeded_model,
)
from tests.lightning.ranks.plan_runs import INPUTS, captured_stderr, training_result

Report = dict[str, Any]


def discovered_plan(folder: str, how: str) -> Report:
    """`Trainer(strategy="plan")`: the plan is an attribute of the model, or lies beside its file."""
    stem = os.path.join(folder, "mine")
    text = planc.to_text(body_plan("body."))
    if dist.get_rank() == 0:
        lines = {
            "beside": "",
            "path": "    plan = 'sub/other.plan'\n",
            "text": f"    plan = planc.parse({text!r})\n",
            "data": f"    plan = {planc.to_data(body_plan('body.'))!r}\n",
            "none": "",
        }[how]
        Path(folder, "sub").mkdir()
        Path(f"{stem}.py").write_text(
            f"import planc\nfrom tests.lightning.ranks.models import Model\n\nclass Mine(Model):\n    pass\n{lines}"
        )
        # Only the one that is meant is a plan.
        if how != "none":
            Path(f"{stem}.plan").write_text(text if how == "beside" else "no plan\n")
        Path(folder, "sub", "other.plan").write_text(text)
    dist.barrier()
    spec = importlib.util.spec_from_file_location("mine", f"{stem}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mine"] = module  # inspect looks there for the file of a class
    spec.loader.exec_module(module)
    model = seeded_model(module.Mine)
    made = make_trainer("plan", dist.get_world_size(), max_steps=2)
    with captured_stderr() as message:
        try:
            made.fit(model)
        except PlanAbort as stop:
            return {"reasons": stop.reasons, "message": message.getvalue()}
    return training_result(model, made, 2)


def lightning_cli(folder: str, how: str, subcommand: str = "fit") -> Report:
    """LightningCLI with a file of settings: the plan as a path, or written in it."""
    path = os.path.join(folder, "body.plan")
    text = "option wide = false\n" + planc.to_text(body_plan("body.")).replace(
        "colwise", "colwise when wide", 1
    )
    chosen = planc.parse(text)
    given = {
        "plan_options": {"wide": True},
        "data_parallel_size": 1,
        "timeout": "0:02:00",
        "plan_inputs": INPUTS,
    }
    if dist.get_rank() == 0:
        Path(path).write_text(planc.to_text(chosen))
        config = {
            "seed_everything": models.SEED,
            "trainer": {
                "accelerator": "cpu", "devices": dist.get_world_size(), "max_steps": 2, "num_sanity_val_steps": 0,
                "logger": False, "enable_checkpointing": False, "enable_progress_bar": False,
                "enable_model_summary": False,
                "strategy": {
                    "class_path": "planc.lightning.ModelParallelStrategy",
                    "init_args": {**given, "plan": path if how == "path" else planc.to_data(chosen)},
                },
            },
            "model": {"rate": 0.05},
        }  # fmt: skip
        Path(folder, "config.yaml").write_text(yaml.safe_dump(config))
    dist.barrier()
    made = LightningCLI(
        Model, args=[subcommand, "--config", os.path.join(folder, "config.yaml")], save_config_callback=None
    )
    split: Any = made.trainer.strategy
    found = {"timeout": split._timeout.total_seconds(), "up": isinstance(made.model.body.up.weight, DTensor)}
    return training_result(made.model, made.trainer, 2) | found
