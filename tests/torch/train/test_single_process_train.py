"""What of the step of training needs no other processes: precision, what is outside, digests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from planc.ir.lowered import LoweredFsdp
from planc.torch.train.digest import tensor_digest, text_digest
from planc.torch.train.precision_conflicts import needs_loss_scaling, precision_conflicts
from planc.torch.train.uncovered_params import uncovered_params_error


def fsdp(**settings: str) -> LoweredFsdp:
    return LoweredFsdp("dp", None, settings, ())


@pytest.mark.parametrize(
    ("settings", "precision", "faulty"),
    [
        ({"params": "bf16", "reduce": "fp32"}, "32-true", []),
        ({"params": "fp16", "output": "bf16"}, "32-true", []),
        ({"params": "bf16", "reduce": "fp32", "output": "fp32"}, "bf16-true", []),
        ({"params": "fp32"}, "bf16-true", ["params"]),
        ({"params": "fp16", "reduce": "fp16"}, "bf16-true", ["params", "reduce"]),
        ({"params": "bf16", "output": "fp32"}, "16-true", ["params"]),
        ({"params": "fp32"}, "64-true", ["params"]),
        ({"reduce": "fp32"}, "64-true", ["reduce"]),
        ({"params": "fp32", "reduce": "fp32"}, "bf16-mixed", []),
        ({"params": "bf16", "reduce": "bf16"}, "bf16-mixed", []),
        ({"params": "bf16", "reduce": "fp32"}, "16-mixed", ["params"]),
        ({"params": "fp16", "output": "bf16"}, "16-mixed", ["output"]),
        ({"offload": "cpu"}, "64-true", []),
        ({"params": "bf16"}, "transformer-engine", []),
    ],
)
def test_precision(settings: dict[str, str], precision: str, faulty: list[str]) -> None:
    found = precision_conflicts(fsdp(**settings), precision)
    assert len(found) == len(faulty)
    for message, name in zip(found, faulty, strict=True):
        assert f"'{name}: {settings[name]}' in the block 'fsdp dp'" in message
        assert f"precision='{precision}'" in message


def test_precision_says_what_is_needed() -> None:
    assert precision_conflicts(None, "bf16-true") == ()
    assert precision_conflicts(fsdp(params="fp16"), "bf16-true") == (
        "'params: fp16' in the block 'fsdp dp' of the plan computes with parameters in fp16, and "
        "precision='bf16-true' has weights in bf16: needed: 'params: bf16' in the plan, or "
        "precision='32-true', with which the plan alone decides",
    )


def test_scaling() -> None:
    assert needs_loss_scaling(fsdp(params="fp16"))
    assert needs_loss_scaling(fsdp(params="bf16", reduce="fp16"))
    assert not needs_loss_scaling(fsdp(params="bf16", output="fp16"))
    assert not needs_loss_scaling(None)


def model() -> nn.Module:
    made = nn.ModuleDict(
        {"body": nn.Linear(2, 2), "head": nn.Linear(2, 2), "tied": nn.Linear(2, 2, bias=False)}
    )
    made["tied"].weight = made["body"].weight
    return made


def test_what_lies_outside() -> None:
    made = model()
    message = uncovered_params_error(made, "body", 2)
    assert message is not None
    assert "2 trained parameters outside of 'body'" in message
    assert "on 2 data ranks: head.weight, head.bias." in message
    made["head"].weight.requires_grad_(False)
    message = uncovered_params_error(made, "body", 2)
    assert message is not None
    assert "1 trained parameter outside" in message
    made["head"].requires_grad_(False)
    assert uncovered_params_error(made, "body", 2) is None


def test_what_may_lie_outside() -> None:
    assert uncovered_params_error(model(), "body", 1) is None
    assert uncovered_params_error(model(), "", 4) is None


def swapped(x: Tensor, one: int, two: int) -> Tensor:
    x = x.clone()
    x[[one, two]] = x[[two, one]]
    return x


X = torch.randn(3_000_001, generator=torch.Generator().manual_seed(0))
"""More than the words that are worked on at once, and no whole number of them."""


def nudged(x: Tensor, where: int) -> Tensor:
    x = x.clone()
    x[where] = torch.nextafter(x[where], torch.tensor(9.0, dtype=x.dtype))
    return x


@pytest.mark.parametrize(
    "change",
    [
        lambda x: -x,
        lambda x: x.flip(0),
        lambda x: swapped(x, 0, 1),
        lambda x: swapped(x, 5, 2**21 + 5),
        lambda x: nudged(x, 0),
        lambda x: nudged(x, 3_000_000),
        lambda x: torch.where(torch.arange(len(x)) // 2 == 77, -x, x),
    ],
)
def test_a_change_changes_the_digest(change: Callable[[Tensor], Tensor]) -> None:
    for x in (X, X.double()):
        assert int(tensor_digest(change(x))) != int(tensor_digest(x))


def test_the_digest_follows_from_the_numbers_alone() -> None:
    x = X[:1001]
    for same in (x.clone(), torch.cat([x[:1], x])[1:], torch.stack([x, x], 1)[:, 0], x.view(7, 143)):
        assert int(tensor_digest(same)) == int(tensor_digest(x))
    kinds = [x.bfloat16(), x > 0, x.to(torch.complex64), x[:0], x[0], x.half().view(7, 143).t()]
    assert len({int(tensor_digest(kind)) for kind in kinds}) == len(kinds)


def test_texts() -> None:
    assert 0 <= text_digest("a") < 2**63
    assert text_digest("a") != text_digest("b")
