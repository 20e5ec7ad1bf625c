"""Fabric with a plan that accepts the statistics of BatchNorm."""

from __future__ import annotations

import warnings

import torch
from torch import nn

import planc
from tests.lightning.ranks.fabric_setup import make_fabric

PLAN = """mesh dp
accept L709 at 1 "statistics of each rank's own batch"
fsdp dp { root }
"""


def setup_twice() -> list[str]:
    """What is said of the plan while a model is set up, and while it is trained."""
    made = make_fabric(
        True,
        plan=planc.parse(PLAN),
        plan_inputs=["0=float32[4,6]"],
    )
    torch.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = made.setup(nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6)))
        for _ in range(2):
            made.backward(model(torch.randn(4, 6)).square().mean())
    return [str(each.message) for each in caught if "accepted" in str(each.message)]
