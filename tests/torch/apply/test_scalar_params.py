"""Parameters without dims under FSDP2: full on every rank, with averaged gradients."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

from tests.rank_pool import run_on_ranks


@pytest.mark.parametrize("micro", [1, 2], ids=["one backward pass", "accumulated"])
@pytest.mark.parametrize(
    ("sizes", "axes"),
    [({"dp": 4}, "dp"), ({"pod": 2, "dp": 2}, "dp replicate pod"), ({"dp": 2, "tp": 2}, "dp")],
    ids=["FSDP", "HSDP", "FSDP and a tensor axis"],
)
def test_training(sizes: dict[str, int], axes: str, micro: int) -> None:
    for found in run_on_ranks(4, "torch.apply.scalar_params:train", sizes=sizes, axes=axes, micro=micro):
        assert found.pop("full") == ["block.gate", "scale"]
        assert found.pop("unforeseen") == []
        assert max(found.values()) < 1e-5, found


def test_gradients_are_summed_in_the_dtype_of_the_plan() -> None:
    sizes: dict[str, Any] = {"dp": 4}
    settings = "    params: bf16, reduce: fp32\n"
    for found in run_on_ranks(
        4, "torch.apply.scalar_params:train", sizes=sizes, axes="dp", micro=1, settings=settings
    ):
        assert found["unforeseen"] == []
        assert found["gradient"] < 0.05
