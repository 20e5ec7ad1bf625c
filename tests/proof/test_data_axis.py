"""Verdicts on an axis that splits the batch, against torch: two half batches, and the mean of their gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from planc.compile import check_document
from planc.ir.resolved import Settings
from planc.ir.source import Source
from planc.syntax.read_file import read_source
from planc.torch.capture.trace import CaptureTarget, trace
from planc.torch.verify.no_dropout import NoDropout
from planc.torch.verify.random_loss import named_outputs
from tests.proof.data_axis_models import ATTENTION, BATCH, PARAMETRIZED, RANDOM, RECURRENT, BatchCase

CASES = [*ATTENTION, *RANDOM, *RECURRENT, *PARAMETRIZED]
PLAN = "mesh dp\nfsdp dp {\n    root\n}\n"


def verdict(case: BatchCase) -> tuple[str, list[str]]:
    graph = trace(CaptureTarget("case", case.module(), (), case.inputs(), {}, {"torch": "2"}))
    result = check_document(read_source(Source("x.plan", PLAN)), Settings({"dp": 2}), graph)
    return str(result.verdict), [found.message for found in result.diagnostics]


def run(model: nn.Module, inputs: dict[str, Tensor], batch: int) -> tuple[dict[str, Tensor], list[Tensor]]:
    """The outputs of a copy of the model, and the gradients of a loss that is a mean over the batch."""
    model = copy.deepcopy(model)
    with NoDropout():
        outputs = {name: out for name, out in named_outputs(model(**inputs)).items() if out.requires_grad}
    loss = sum((out * torch.cos(out.detach())).sum() / batch for out in outputs.values())
    grads = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, materialize_grads=True)
    return outputs, list(grads)


def halves_agree(case: BatchCase) -> bool:
    """Whether two half batches give the outputs of the batch, and on average its gradients."""
    torch.manual_seed(0)
    model = case.module().double()
    inputs = {name: x.double() if x.is_floating_point() else x for name, x in case.inputs().items()}
    outputs, grads = run(model, inputs, BATCH)
    parts = [
        run(model, {name: x.chunk(2)[half] for name, x in inputs.items()}, BATCH // 2) for half in (0, 1)
    ]
    near = [torch.allclose((a + b) / 2, g) for a, b, g in zip(parts[0][1], parts[1][1], grads, strict=True)]
    return all(near) and all(
        any(
            joined.shape == out.shape and torch.allclose(joined, out)
            for joined in (torch.cat([parts[0][0][name], parts[1][0][name]], dim) for dim in range(out.ndim))
        )
        for name, out in outputs.items()
    )


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_verdict_is_that_of_the_numbers(case: BatchCase) -> None:
    found, messages = verdict(case)
    assert found == case.verdict, messages
    if case.verdict != "unproved":
        assert halves_agree(case) == (case.verdict == "proved")
