"""Weights that are computed from other parameters, on a tensor axis."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from planc.compile import check_document
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.syntax.read_file import read_source
from planc.torch.capture.trace import CaptureTarget, trace
from tests.proof.data_axis_models import BATCH, LENGTH, WIDTH, Reparametrized

PLAN = """\
mesh tp
tensor tp {{
    up.parametrizations.weight  params({params})
    up                          params(bias: shard(0))
    down                        rowwise
}}
"""
LENGTHS = "original0: shard(0), original1: shard(0)"


@pytest.mark.parametrize(
    ("parametrize", "params", "codes"),
    [
        (parametrizations.weight_norm, LENGTHS, []),
        (parametrizations.weight_norm, "original1: shard(0)", ["L711"]),
        (lambda m: parametrizations.weight_norm(m, dim=1), "original1: shard(0)", ["L704"]),
        (parametrizations.spectral_norm, "original: shard(0)", ["L704"]),
    ],
)
def test_rows_of_a_weight(
    parametrize: Callable[[nn.Module], nn.Module], params: str, codes: list[str]
) -> None:
    model, x = Reparametrized(parametrize), torch.empty(BATCH, LENGTH, WIDTH)
    graph = trace(CaptureTarget("case", model, (x,), {}, {}, {"torch": "2"}))
    plan = read_source(Source("x.plan", PLAN.format(params=params)))
    result = check_document(plan, Settings({"tp": 2}), graph)
    assert [found.law.code for found in result.diagnostics] == codes, result.diagnostics
    assert (result.verdict == "proved") == (not codes)
