"""`planc.materialize`: from a meta model to the numbers of the unsplit model, on any mesh."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import planc
from tests.rank_pool import run_on_ranks


@pytest.mark.parametrize("family", ["bert", "deepseek_v3", "gemma3", "llama", "neox", "t5", "vit", "whisper"])
def test_an_unsplit_model(family: str) -> None:
    share = run_on_ranks(1, "torch.weights.weights:materialize_on_mesh", family=family, dp=1, tp=1)[0]
    assert share < 0.35  # of the model, at any time, as whole tensors


@pytest.mark.parametrize(("dp", "tp"), [(1, 2), (2, 2)])
@pytest.mark.parametrize("family", ["gpt2", "mixtral", "phi3", "bert_mlm"])
def test_the_same_numbers_on_every_mesh(family: str, dp: int, tp: int) -> None:
    run_on_ranks(dp * tp, "torch.weights.weights:materialize_on_mesh", family=family, dp=dp, tp=tp)


def test_weights_in_place_of_a_seed(tmp_path: Path) -> None:
    run_on_ranks(1, "torch.weights.weights:write_weight_files", family="phi3", folder=str(tmp_path))
    share = run_on_ranks(
        2, "torch.weights.weights:materialize_on_mesh", family="phi3", dp=1, tp=2, path=str(tmp_path)
    )[0]
    assert share < 0.01  # buffers alone are made


class Plain(nn.Module):
    """Initialisers of all kinds, a tied parameter, and buffers."""

    table: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Embedding(12, 8, padding_idx=3)
        self.turned = nn.Parameter(nn.init.orthogonal_(torch.empty(8, 8)))
        self.cut = nn.Parameter(nn.init.trunc_normal_(torch.empty(4, 8), std=0.5))
        self.drawn = nn.Parameter(torch.randn(5) * 0.1 + torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
        self.norm = nn.BatchNorm1d(8)
        self.inner = nn.Sequential(nn.Conv1d(2, 4, 3), nn.LSTM(4, 4))
        self.head = nn.Linear(8, 12)
        self.head.weight = self.rows.weight
        self.register_buffer("table", torch.arange(6).float().outer(torch.ones(2)).cos(), persistent=False)
        self.register_buffer("scale", torch.tensor(2.5))
        with torch.no_grad():
            self.cut[1:3, ::2].normal_()


def _empty(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return build()


def test_a_module_of_ones_own() -> None:
    torch.manual_seed(7)
    wanted = Plain()
    before = torch.get_rng_state()
    model = planc.materialize(_empty(Plain), seed=7, build=Plain)
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in [*wanted.named_parameters(), *wanted.named_buffers()]:
        assert torch.equal(dict([*model.named_parameters(), *model.named_buffers()])[name], value), name
    assert model.head.weight is model.rows.weight


def test_a_type_of_ones_own() -> None:
    torch.manual_seed(7)
    wanted = Plain().bfloat16()
    model = planc.materialize(_empty(Plain).bfloat16(), "cpu", seed=7, build=Plain)
    for name, value in wanted.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


class Looks(nn.Linear):
    """Initialised by what its numbers are."""

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight)
        if not self.weight.is_meta or self.weight.sum().item() > 0:
            nn.init.zeros_(self.bias)


def test_what_cannot_be_followed() -> None:
    with torch.device("meta"):
        model = nn.Linear(3, 3)
    with pytest.raises(planc.WeightsError, match="planc does not know how to build Linear"):
        planc.materialize(model, seed=0)
    with pytest.raises(planc.WeightsError, match="one of them"):
        planc.materialize(model)
    with pytest.raises(planc.WeightsError, match="planc cannot initialize Linear tensor by tensor"):
        planc.materialize(model, seed=0, build=lambda: Looks(3, 3))
    with pytest.raises(planc.WeightsError, match=r"'weight' is .* in the model that build="):
        planc.materialize(model, seed=0, build=lambda: nn.Linear(3, 4))
    with torch.device("meta"):
        model.kept = torch.ones(2)  # type: ignore[assignment]
    with pytest.raises(planc.WeightsError, match=r"'\.kept' is on the meta device, and is neither"):
        planc.materialize(model, seed=0, build=lambda: nn.Linear(3, 3))
    assert model.weight.is_meta
