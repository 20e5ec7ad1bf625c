"""Dropout returns its input, also in code that the backward pass runs again."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

from planc.torch.verify.model_under_test import build_model_under_test  # noqa: E402
from planc.torch.verify.no_dropout import NoDropout  # noqa: E402
from planc.torch.verify.reference_run import ReferenceRun  # noqa: E402
from planc.torch.verify.scenarios import make_scenarios  # noqa: E402


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_a_checkpointed_function(use_reentrant: bool) -> None:
    torch.manual_seed(0)
    linear, x = nn.Linear(8, 8), torch.randn(4, 8, requires_grad=True)
    plain = nn.Sequential(linear, nn.Tanh(), linear)
    (expected,) = torch.autograd.grad(plain(x).sum(), linear.weight)
    dropped = nn.Sequential(linear, nn.Dropout(0.5), nn.Tanh(), nn.Dropout(0.5), linear)
    with NoDropout():
        checkpoint(dropped, x, use_reentrant=use_reentrant).sum().backward()
    assert torch.equal(linear.weight.grad, expected)


def test_dropout_is_back_afterwards() -> None:
    with NoDropout():
        assert torch.equal(nn.Dropout(0.5)(torch.ones(64)), torch.ones(64))
    assert not NoDropout.is_active()
    assert not torch.equal(nn.Dropout(0.5)(torch.ones(64)), torch.ones(64))


def test_the_coefficients_of_the_loss_are_random() -> None:
    """Every entry of an output counts differently, though draws of the model are fixed."""
    reference = "tests.proof.mean_losses:case_0"
    subject = build_model_under_test(reference, 0)
    (scenario, *_) = make_scenarios(subject, tensor_ranks=1, data_ranks=2, seed=0)
    loss = ReferenceRun(subject.model, scenario, None, 0, 0).loss
    assert loss is not None
    assert len(loss.coefficients["0"].unique()) == loss.coefficients["0"].numel()
