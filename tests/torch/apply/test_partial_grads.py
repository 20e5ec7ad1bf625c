"""Parts of a gradient that the ranks of a tensor axis hold are summed in the dtype of `reduce`.

The parts are 256 on one rank and 1 on each other one: bfloat16 has no 257, and a sum in it is 256.
"""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

from tests.rank_pool import run_on_ranks

BOTH = {"dp": 2, "tp": 2}


def bias_gradient(sizes: dict[str, int], *settings: str, **given: Any) -> float:
    """The gradient, the same in all entries and on all ranks."""
    count = 1
    for size in sizes.values():
        count *= size
    found = run_on_ranks(
        count, "torch.apply.partial_grads:bias_gradient", sizes=sizes, settings=list(settings), **given
    )
    assert len({entry for each in found for entry in each}) == 1
    return float(found[0][0])


@pytest.mark.parametrize("syncs", [True, False], ids=["reduced each time", "reduced once"])
@pytest.mark.parametrize("micro", [1, 2])
def test_the_sum_has_the_dtype_of_reduce(micro: int, syncs: bool) -> None:
    assert bias_gradient(BOTH, "params: bf16, reduce: fp32", micro=micro, syncs=syncs) == 257 * micro


@pytest.mark.parametrize("syncs", [True, False], ids=["reduced each time", "reduced once"])
@pytest.mark.parametrize("settings", ["params: bf16, reduce: bf16", "params: bf16", "reduce: bf16"])
def test_in_bfloat16_one_is_lost(settings: str, syncs: bool) -> None:
    """Without `reduce`, gradients are reduced in the dtype of `params`."""
    assert bias_gradient(BOTH, settings, micro=2, syncs=syncs) == 512


def test_parameters_in_bfloat16() -> None:
    """The sum of two samples, 514, is rounded to the parameter's dtype at the end alone: 512 or 514."""
    assert bias_gradient(BOTH, "reduce: fp32", dtype="bfloat16", micro=2, syncs=False) == 514 // 4 * 4


@pytest.mark.parametrize(
    ("sizes", "settings"),
    [
        ({"pod": 2, "dp": 2, "tp": 2}, "params: bf16, reduce: fp32"),
        (BOTH, "params: bf16, reduce: fp32, offload: cpu"),
        (BOTH, "params: bf16, reduce: fp32, output: fp32"),
    ],
    ids=["replicas", "offloaded", "output"],
)
def test_beside_other_settings(sizes: dict[str, int], settings: str) -> None:
    assert bias_gradient(sizes, settings) == 257


def test_a_recomputed_block() -> None:
    assert bias_gradient(BOTH, "params: bf16, reduce: fp32", more="recompute { block }\n") == 257


@pytest.mark.parametrize("syncs", [True, False], ids=["reduced each time", "reduced once"])
def test_a_compiled_block(syncs: bool) -> None:
    """Compiled code gives gradients the dtype of its parameters, so FSDP2 computes the sum."""
    more = "compile {\n    backend: aot_eager, fullgraph: true\n    block\n}\n"
    settings = "params: bf16, reduce: fp32"
    assert bias_gradient(BOTH, settings, micro=2, syncs=syncs, more=more, compiled=True) == 514
