"""Canaries of the private names that `planc/torch/apply` uses."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

torch = pytest.importorskip("torch")

from torch.utils import checkpoint  # noqa: E402

from planc.torch.apply import compat  # noqa: E402
from tests.torch.canaries import Canaries  # noqa: E402

CANARIES = Canaries(compat, f"torch {torch.__version__}")
canary = CANARIES.check


@pytest.mark.parametrize("name", compat.__all__)
def test_a_private_name_of_torch_does_what_planc_needs(name: str) -> None:
    CANARIES.run(name)


@canary(
    "wrap_checkpointed_functions",
    breaks="apply: a method that a model checkpoints runs again with DTensors, and with other random numbers",
)
def _checkpointed_functions() -> None:
    ran: list[str] = []

    def wrap(function: Any) -> Any:
        def run(*args: Any) -> Any:
            ran.append("again")
            return function(*args)

        ran.append("wrapped")
        return run

    x = torch.ones(3, requires_grad=True)
    frame, reentrant = checkpoint._CheckpointFrame, checkpoint.CheckpointFunction
    with (
        patch.object(frame, "__init__", frame.__init__),
        patch.object(reentrant, "forward", reentrant.forward),
    ):
        compat.wrap_checkpointed_functions(wrap)
        for use_reentrant in (False, True):
            found = checkpoint.checkpoint(torch.exp, x, use_reentrant=use_reentrant)
            assert ran == ["wrapped"]
            found.sum().backward()
            assert ran == ["wrapped", "again"]
            ran.clear()
    assert torch.equal(x.grad, 2 * x.detach().exp())


@canary("unsafe_view", breaks="apply: code that changes what a boundary gave in place raises")
def _unsafe_view() -> None:
    memory = torch.zeros(2, 3)
    seen = compat.unsafe_view(memory, (3, 2))
    seen.fill_(1)
    assert memory.sum() == 6
    assert not seen._is_view()
